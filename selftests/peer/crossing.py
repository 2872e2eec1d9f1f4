# SPDX-License-Identifier: GPL-2.0
"""Simultaneous open (RFC 9293 3.5, figure 8; RFC 8547 figure 12): the peer's SYN crosses the kernel's.

orders() finds every order in which the segments of such an open can arrive, by playing it with two hosts that follow
RFC 9293. Crossing plays the peer's side of one of them: between it and the kernel is a network that keeps each segment
until the order says that it arrives, or that it is lost.
"""

import functools

from . import crypt, eno
from .peer import Peer
from .tcp import ACK, MASK, RST, SYN, Connection, Timeout, mss_option, pad

SYN_SENT, SYN_RECEIVED, ESTABLISHED = "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED"
KERNEL, PEER = "K", "P"
ARRIVES, LOST, AGAIN = "", "lost:", "again:"


def receive(state, kind):
    """(next state, kind of the segment in answer or None)"""
    if state == SYN_SENT:
        return {"SYN": (SYN_RECEIVED, "SYN-ACK"), "SYN-ACK": (ESTABLISHED, "ACK"), "ACK": (SYN_SENT, None)}[kind]
    if kind == "ACK":
        return ESTABLISHED, None
    if state == SYN_RECEIVED and kind == "SYN-ACK":
        return ESTABLISHED, "ACK"
    return state, "ACK"


def repeated(state):
    """What a host sends again when it hears nothing."""
    return {SYN_SENT: "SYN", SYN_RECEIVED: "SYN-ACK"}[state]


@functools.cache
def orders(again=1, overtaking=False, losses=1):
    """Every way in which two connect() calls can meet, up to the moment when both ends are ESTABLISHED.

    Each is a tuple of (ARRIVES, LOST or AGAIN, sender, kind, number). At most `losses` segments are lost, and each host
    sends up to `again` times something again, needed or not; overtaking: also in one direction the order may change.
    Two orders are the same if each host sees the same segments arrive in the same order and the same are lost.

    The kernel may keep silent when the peer's SYN comes again while it waits for the answer to its own: the peer could
    take an acknowledgement for the end of the handshake and leave out the option that the kernel still waits for.
    """
    found = {}

    def emit(flight, counts, sender, kind):
        number = counts.get((sender, kind), 0) + 1
        return flight + ((sender, kind, number),), {**counts, (sender, kind): number}

    def go(states, flight, counts, left, lost, seen, order):
        if set(states.values()) == {ESTABLISHED}:
            found.setdefault((seen, lost), order)
            return
        passed = set()
        for label in flight:
            sender, kind, _ = label
            if sender in passed and not overtaking:
                continue
            passed.add(sender)
            rest = tuple(other for other in flight if other != label)
            if len(lost) < losses:
                go(states, rest, counts, left, lost + (label,), seen, order + ((LOST,) + label,))
            to = KERNEL if sender == PEER else PEER
            state, reply = receive(states[to], kind)
            if to == KERNEL and (states[to], kind) == (SYN_RECEIVED, "SYN"):
                reply = None
            after = emit(rest, counts, to, reply) if reply else (rest, counts)
            seen_now = tuple(s + ((label,) if host == to else ()) for host, s in zip((KERNEL, PEER), seen))
            go({**states, to: state}, *after, left, lost, seen_now, order + ((ARRIVES,) + label,))
        for host, state in states.items():
            if left[host] and state != ESTABLISHED:
                after = emit(flight, counts, host, repeated(state))
                go(states, *after, {**left, host: left[host] - 1}, lost, seen, order + ((AGAIN,) + after[0][-1],))

    flight, counts = emit(*emit((), {}, KERNEL, "SYN"), PEER, "SYN")
    states = {KERNEL: SYN_SENT, PEER: SYN_SENT}
    go(states, flight, counts, {KERNEL: again, PEER: again}, (), ((), ()), ())
    return tuple(found.values())


def describe(order):
    return " ".join("%s%s.%s%d" % step for step in order)


def kind_of(segment):
    return {SYN: "SYN", SYN | ACK: "SYN-ACK"}.get(segment.flags & (SYN | ACK), "ACK")


class Crossing:
    """The peer's end of one simultaneous open, and the network in between.

    The kernel must be in connect() from `kernel_port` to `port`. step() does what can be done at once and is to be
    called whenever the stack took packets; done is true when the order was played and the peer is ESTABLISHED.
    """

    def __init__(self, stack, family, kernel_port, port, option, order, strip=(), omit=True):
        """strip: kinds of our segments whose option the network removes; omit: leave the option out of the SYN-ACK once
        the kernel's SYN has disabled encryption, as RFC 8547 4.6 allows."""
        self.peer = Peer.active(stack, family, kernel_port, port)
        self.peer.own_option = option
        self.tcp = self.peer.tcp
        self.tcp.auto_ack = self.tcp.retransmit = False
        self.tcp.on_segment = self._sent_by_kernel
        self.order, self.played, self.strip, self.omit = list(order), order, strip, omit
        self.state = SYN_SENT
        self.enabled = option is not None
        self.flight, self.counts = {}, {}
        self.sent = {KERNEL: [], PEER: []}  # (kind, ENO options, whether the kernel had got a segment without SYN)
        self.kernel_heard = False
        self.tcp.snd_nxt = (self.tcp.iss + 1) & MASK
        self._emit("SYN")

    def address(self):
        """For the kernel's connect()."""
        return self.peer.address()

    # The network

    def _into_flight(self, sender, segment):
        kind = kind_of(segment)
        number = self.counts[sender, kind] = self.counts.get((sender, kind), 0) + 1
        self.flight[sender, kind, number] = segment
        self.sent[sender].append((kind, segment.option(eno.KIND), self.kernel_heard))

    def _sent_by_kernel(self, segment):
        if segment.has(RST):
            raise crypt.ProtocolError("RST in the simultaneous open")
        self._into_flight(KERNEL, segment)

    def _arrives(self, label):
        segment = self.flight.pop(label)
        if label[0] == KERNEL:
            self._take(segment)
            return
        if label[1] in self.strip:
            segment.options = pad(mss_option()) if segment.has(SYN) else b""
        self.kernel_heard |= not segment.has(SYN)
        self.tcp.sent.append(segment)
        self.tcp.stack.send(segment)

    def step(self):
        """Plays on as far as the kernel's segments are there, and lets all pass once the order is over."""
        while self.order:
            what, *label = self.order[0]
            label = tuple(label)
            if what == AGAIN and label[0] == PEER:
                self._emit(label[1])
            elif label not in self.flight:
                return
            self.order.pop(0)
            if what == ARRIVES:
                self._arrives(label)
            elif what == LOST:
                del self.flight[label]
            self.tcp.stack.drain()
        for label in list(self.flight):
            self._arrives(label)
            self.tcp.stack.drain()

    @property
    def done(self):
        return not self.order and self.state == ESTABLISHED

    # The peer

    def _emit(self, kind):
        flags = {"SYN": SYN, "SYN-ACK": SYN | ACK, "ACK": ACK}[kind]
        if kind == "ACK":
            segment = self.tcp.segment(flags, options=self.peer._nonsyn_options() if self.enabled else b"")
        else:
            option = self.peer.own_option
            if kind == "SYN-ACK" and not self.enabled and self.omit:
                option = None
            segment = self.tcp.segment(flags, options=pad(mss_option() + (option or b"")), seq=self.tcp.iss)
            segment.ack = (self.tcp.rcv_nxt or 0) if flags & ACK else 0
        self._into_flight(PEER, segment)

    def _take(self, segment):
        """A segment of the kernel arrives: RFC 8547 4.6, then RFC 9293 3.10.7."""
        first_ack = segment.has(ACK) and not any(s.has(ACK) for s in self.tcp.log)
        if segment.has(SYN) or first_ack:
            self._judge(segment)
        Connection.on_segment(self.tcp, segment)
        self.state, reply = receive(self.state, kind_of(segment))
        if reply is None and segment.length():
            reply = "ACK"
        self.peer.send_nonsyn = self.enabled
        if reply:
            self._emit(reply)

    def _judge(self, segment):
        found = segment.option(eno.KIND)
        if not segment.has(SYN):
            self.enabled &= bool(found)
            return
        if len(found) != 1:
            self.enabled = False
            return
        if self.peer.other_option not in (None, found[0]):
            raise crypt.ProtocolError("option %s after %s" % (found[0].hex(), self.peer.other_option.hex()))
        self.peer.other_option = found[0]
        try:
            self.peer.negotiate()
        except (eno.Disabled, eno.Malformed):
            self.enabled = False

    def release(self):
        """The open is over: from here on the connection is like any other."""
        del self.tcp.on_segment
        for (sender, *_), segment in self.flight.items():
            (self.tcp.on_segment if sender == KERNEL else self.tcp.stack.send)(segment)
        self.tcp.auto_ack = self.tcp.retransmit = True
        self.peer.send_nonsyn = self.enabled


def play(crossings, timeout=30):
    """All of them at once, until each is done; from then on they are connections like any other."""

    def all_done():
        for crossing in crossings:
            crossing.step()
        return all(crossing.done for crossing in crossings)

    try:
        crossings[0].tcp.wait(all_done, timeout, "the end of the orders")
    except Timeout as error:
        stuck = [c for c in crossings if not c.done]
        one = stuck[0]
        left = "%s with %s left of %s" % (one.state, describe(one.order), describe(one.played))
        raise Timeout("%s; %d stay, the first %s" % (error, len(stuck), left)) from None
    for crossing in crossings:
        crossing.release()
