#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Simultaneous open: what TCP drops changes nothing, and what waits for a busy socket counts all the same."""

import errno
import os

from lib import ulp
from lib.busy import Busy
from lib.data import recv_exactly
from lib.harness import FAMILIES, check, defer, equal, main, raises, test
from lib.peerhost import connected, host, wait_sessid
from peer import eno
from peer.peer import Peer
from peer.tcp import ACK, FIN, MASK, RST, SYN, mss_option, pad

OFFER = {0: eno.option(0x23), 1: eno.option(0x01, 0x23)}


class Crossing:
    """A kernel socket in connect(), as host B if b, and a peer that has seen its SYN and not sent its own yet."""

    def __init__(self, family, b, option):
        stack, port = host().stack, host().port()
        self.b = b
        self.sock = host().ns.socket(family)
        defer(self.sock.close)
        self.sock.bind((stack.kernel[family], port))
        if b:
            ulp.attach(self.sock)
            ulp.set_option(self.sock, ulp.TCP_ENO_ROLEOVERRIDE, 1)
        self.peer = Peer.active(stack, family, port, host().port())
        defer(self.peer.close)
        self.tcp = self.peer.tcp
        self.tcp.auto_ack = self.tcp.retransmit = False
        self.peer.own_option = option
        self.sock.setblocking(False)
        try:
            self.sock.connect(self.peer.address())
        except BlockingIOError:
            pass
        equal(self.peer.wait_syn().option(eno.KIND), [OFFER[b]], "option of the SYN")
        self.tcp.snd_nxt = (self.tcp.iss + 1) & MASK

    def segment(self, flags, option=None, seq=None, ack=None):
        options = pad((mss_option() if flags & SYN else b"") + (option or b""))
        if seq is None:
            seq = self.tcp.iss if flags & SYN else self.tcp.snd_nxt
        return self.tcp.segment(flags, b"", options, seq=seq, ack=ack if flags & ACK else 0)

    def send(self, flags, option=None, **other):
        self.tcp.stack.send(self.segment(flags, option, **other))

    def send_corrupt(self, flags, option=None, **other):
        """With a checksum that is wrong: the window is another."""
        packet = bytearray(self.segment(flags, option, **other).to_packet())
        packet[(20 if packet[0] >> 4 == 4 else 40) + 14] ^= 0x55
        os.write(self.tcp.stack.fd, bytes(packet))

    def synack(self):
        return self.tcp.wait_segment(lambda s: s.has(SYN | ACK), what="SYN-ACK")

    def ends_encrypted(self):
        connected(self.sock)
        self.tcp.stack.drain()
        check(all(s.option(eno.KIND) for s in self.tcp.log if not s.has(RST)), "an option in each segment")
        self.tcp.auto_ack = True
        self.tcp.send_ack()
        self.peer.negotiate()
        self.peer.exchange_keys()
        equal(wait_sessid(self.sock), self.peer.secrets.session_id, "session ID")
        equal(ulp.option(self.sock, ulp.TCP_ENO_ROLE), ulp.ROLE_B if self.b else ulp.ROLE_A, "role")
        self.sock.sendall(b"from the kernel")
        equal(self.peer.recv(15), b"from the kernel")

    def ends_plain(self):
        self.tcp.auto_ack = True
        self.peer.send_nonsyn = False
        connected(self.sock)
        self.sock.sendall(b"plain from the kernel")
        equal(self.tcp.read(21), b"plain from the kernel")
        self.tcp.send_data(b"plain from the peer")
        equal(recv_exactly(self.sock, 19), b"plain from the peer")
        check(not ulp.is_encrypted(self.sock), "plain")


def forge(crossing, option):
    """Answers to the kernel's SYN that TCP drops: the wrong place, the wrong acknowledgement, the wrong checksum."""
    right = crossing.tcp.rcv_nxt
    crossing.send(ACK, option, ack=(right + 1) & MASK)
    crossing.send(SYN | ACK, option, ack=(right + 1) & MASK)
    crossing.send(ACK, option, ack=right, seq=(crossing.tcp.iss + 200000) & MASK)
    crossing.send(SYN | ACK, option, ack=right, seq=(crossing.tcp.iss + 200000) & MASK)
    crossing.send_corrupt(ACK, option, ack=right)
    crossing.send_corrupt(SYN | ACK, option, ack=right)
    crossing.tcp.stack.drain()
    # TCP resets what acknowledges too much; the peer does not know that connection.
    crossing.tcp.rst_seen = False


@test(family=FAMILIES, b=(0, 1), kind=("SYN-ACK", "ACK"))
def forged_answers_without_the_option(family, b, kind):
    crossing = Crossing(family, b, OFFER[1 - b])
    crossing.send(SYN, OFFER[1 - b])
    equal(crossing.synack().option(eno.KIND), [OFFER[b]], "option of the SYN-ACK")
    forge(crossing, None)
    if kind == "SYN-ACK":
        crossing.send(SYN | ACK, OFFER[1 - b])
    else:
        crossing.send(ACK, eno.NON_SYN)
    crossing.ends_encrypted()


@test(family=FAMILIES, b=(0, 1), kind=("SYN-ACK", "ACK"))
def forged_answers_with_the_option(family, b, kind):
    """The peer has disabled encryption; somebody else says that it has not."""
    crossing = Crossing(family, b, OFFER[1 - b])
    crossing.send(SYN, OFFER[1 - b])
    crossing.synack()
    forge(crossing, OFFER[1 - b])
    forge(crossing, eno.NON_SYN)
    crossing.send(SYN | ACK if kind == "SYN-ACK" else ACK)
    crossing.ends_plain()


@test(family=FAMILIES, b=(0, 1))
def corrupt_syn_with_another_option(family, b):
    """The SYN that TCP took decides."""
    for first, second, encrypts in ((OFFER[b], OFFER[1 - b], True), (OFFER[1 - b], OFFER[b], False)):
        crossing = Crossing(family, b, second)
        crossing.send_corrupt(SYN, first)
        crossing.send_corrupt(SYN, first, seq=(crossing.tcp.iss + 77) & MASK)
        crossing.send(SYN, second)
        found = crossing.synack().option(eno.KIND)
        equal(found, [OFFER[b]] if encrypts else [], "option of the SYN-ACK")
        crossing.send(SYN | ACK, second)
        if encrypts:
            crossing.ends_encrypted()
        else:
            crossing.ends_plain()


@test(family=FAMILIES, b=(0, 1))
def synack_with_another_option(family, b):
    """It must be that of the SYN (RFC 8547 4.6); a peer that alters it gets plain TCP."""
    crossing = Crossing(family, b, OFFER[1 - b])
    crossing.send(SYN, OFFER[1 - b])
    crossing.synack()
    crossing.send(SYN | ACK, eno.option(0x24, 0x23) if b else eno.option(0x01, 0x24, 0x23))
    crossing.ends_plain()


@test(family=FAMILIES, b=(0, 1))
def repeated_syn_without_the_option(family, b):
    """The peer disabled encryption between its SYNs, as it may; the answer with the option is somebody else's."""
    crossing = Crossing(family, b, OFFER[1 - b])
    crossing.send(SYN, OFFER[1 - b])
    crossing.synack()
    crossing.send(SYN)
    crossing.send(SYN | ACK, OFFER[1 - b])
    crossing.ends_plain()


@test(family=FAMILIES, b=(0, 1), kind=("SYN-ACK", "ACK"))
def everything_waits_for_a_busy_socket(family, b, kind):
    """TCP sees the peer's SYN and its answer to ours in one go, when the process lets go of the socket."""
    crossing = Crossing(family, b, OFFER[1 - b])
    busy = Busy(crossing.sock)
    crossing.send(SYN, OFFER[1 - b])
    if kind == "SYN-ACK":
        crossing.send(SYN | ACK, OFFER[1 - b])
    else:
        crossing.send(ACK, eno.NON_SYN)
    crossing.tcp.stack.drain()
    equal([s.flags for s in crossing.tcp.log], [SYN], "segments of the kernel")
    busy.release()
    equal(crossing.synack().option(eno.KIND), [OFFER[b]], "option of the SYN-ACK")
    crossing.ends_encrypted()


@test(family=FAMILIES, b=(0, 1))
def answer_without_the_option_waits_for_a_busy_socket(family, b):
    crossing = Crossing(family, b, OFFER[1 - b])
    crossing.send(SYN, OFFER[1 - b])
    crossing.synack()
    busy = Busy(crossing.sock)
    crossing.send(SYN | ACK)
    crossing.tcp.stack.drain()
    busy.release()
    crossing.ends_plain()


@test(family=FAMILIES, b=(0, 1), how=("close", "reset"))
def open_that_comes_to_nothing(family, b, how):
    """The connection ends while it waits for the peer's answer, and the socket can open another one."""
    crossing = Crossing(family, b, OFFER[1 - b])
    crossing.send(SYN, OFFER[1 - b])
    crossing.synack()
    if how == "reset":
        crossing.tcp.transmit(crossing.tcp.segment(RST | ACK, ack=crossing.tcp.rcv_nxt), track=False)
        raises(errno.ECONNRESET, connected, crossing.sock)
        other = Peer.passive(host().stack, family, host().port())
        defer(other.close)
        crossing.sock.setblocking(False)
        # The first call says once more that the last one failed.
        raises(errno.ECONNABORTED, crossing.sock.connect, other.address())
        raises(errno.EINPROGRESS, crossing.sock.connect, other.address())
        equal(other.wait_syn().option(eno.KIND), [OFFER[b]], "option of the next SYN")
        return
    crossing.sock.close()
    crossing.tcp.wait_segment(lambda s: s.flags & (FIN | RST), what="FIN or RST")
    check(not any(s.option(eno.KIND) for s in crossing.tcp.log if not s.has(SYN)), "no option in the end")


if __name__ == "__main__":
    main()
