# SPDX-License-Identifier: GPL-2.0
"""A small TCP: segments with their checksums and options, and one connection that a test can lead by the hand.

It does what an honest receiver does (acknowledges, reassembles, retransmits the oldest segment after a while) and lets a
test send any segment whatever instead. The other end's segments are kept in a log for the tests to judge.
"""

import socket
import struct
import time
from dataclasses import dataclass, field

FIN, SYN, RST, PSH, ACK, URG = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20

OPT_END, OPT_NOP, OPT_MSS, OPT_WSCALE, OPT_SACK_OK, OPT_SACK, OPT_TS, OPT_TFO = 0, 1, 2, 3, 4, 5, 8, 34

MASK = 0xFFFFFFFF


def checksum(data):
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def options_list(raw):
    """[(kind, the whole option)] of the bytes after the TCP header; stops at the first that makes no sense."""
    found, at = [], 0
    while at < len(raw):
        kind = raw[at]
        if kind == OPT_END:
            break
        if kind == OPT_NOP:
            found.append((kind, raw[at : at + 1]))
            at += 1
            continue
        if at + 1 >= len(raw) or raw[at + 1] < 2 or at + raw[at + 1] > len(raw):
            break
        found.append((kind, raw[at : at + raw[at + 1]]))
        at += raw[at + 1]
    return found


def pad(options):
    """To a multiple of four bytes, with NOPs in front."""
    return bytes([OPT_NOP]) * (-len(options) % 4) + options


def mss_option(mss=1400):
    return struct.pack("!BBH", OPT_MSS, 4, mss)


@dataclass
class Segment:
    src: bytes
    dst: bytes
    sport: int
    dport: int
    seq: int = 0
    ack: int = 0
    flags: int = 0
    window: int = 65535
    options: bytes = b""
    payload: bytes = b""
    urgent: int = 0
    checksum_ok: bool = True
    time: float = field(default_factory=time.monotonic)

    def has(self, flags):
        return self.flags & flags == flags

    def option(self, kind):
        """All the options of this kind, whole."""
        return [raw for found, raw in options_list(self.options) if found == kind]

    def length(self):
        """In sequence numbers."""
        return len(self.payload) + bool(self.flags & SYN) + bool(self.flags & FIN)

    def _pseudo(self, length):
        if len(self.src) == 4:
            return self.src + self.dst + struct.pack("!BBH", 0, socket.IPPROTO_TCP, length)
        return self.src + self.dst + struct.pack("!IxxxB", length, socket.IPPROTO_TCP)

    def to_packet(self):
        """The IP packet."""
        if len(self.options) % 4 or len(self.options) > 40:
            raise ValueError("options: %d bytes" % len(self.options))
        head = struct.pack(
            "!HHIIBBHHH",
            self.sport,
            self.dport,
            self.seq & MASK,
            self.ack & MASK,
            (20 + len(self.options)) // 4 << 4,
            self.flags,
            self.window,
            0,
            self.urgent,
        )
        tcp = bytearray(head + self.options + self.payload)
        struct.pack_into("!H", tcp, 16, checksum(self._pseudo(len(tcp)) + bytes(tcp)))
        if len(self.src) == 4:
            ip = bytearray(
                struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0, self.src, self.dst)
            )
            struct.pack_into("!H", ip, 10, checksum(bytes(ip)))
        else:
            ip = struct.pack("!IHBB16s16s", 6 << 28, len(tcp), socket.IPPROTO_TCP, 64, self.src, self.dst)
        return bytes(ip) + bytes(tcp)

    @classmethod
    def from_packet(cls, packet):
        """None if it is no TCP segment."""
        version = packet[0] >> 4 if packet else 0
        if version == 4 and len(packet) >= 20 and packet[9] == socket.IPPROTO_TCP:
            at = (packet[0] & 15) * 4
            src, dst = packet[12:16], packet[16:20]
            total = struct.unpack_from("!H", packet, 2)[0] or len(packet)
        elif version == 6 and len(packet) >= 40 and packet[6] == socket.IPPROTO_TCP:
            at = 40
            src, dst = packet[8:24], packet[24:40]
            total = 40 + struct.unpack_from("!H", packet, 4)[0]
        else:
            return None
        tcp = packet[at:total]
        if len(tcp) < 20:
            return None
        sport, dport, seq, ack, off, flags, window, _, urgent = struct.unpack_from("!HHIIBBHHH", tcp)
        head = (off >> 4) * 4
        segment = cls(src, dst, sport, dport, seq, ack, flags, window, tcp[20:head], tcp[head:], urgent)
        segment.checksum_ok = checksum(segment._pseudo(len(tcp)) + tcp) == 0
        return segment


class Timeout(AssertionError):
    """The other end did not do in time what the test waited for."""


class Connection:
    """One connection of a stack (tun.Stack), in either direction.

    rx holds the bytes received in order, from the first after the SYN; log all the segments of the other end.
    """

    RTO = 1.0

    def __init__(self, stack, local, lport, remote=None, rport=None, iss=None):
        self.stack = stack
        self.local, self.lport = local, lport
        self.remote, self.rport = remote, rport
        self.iss = stack.random_iss() if iss is None else iss
        self.snd_una = self.snd_nxt = self.iss
        self.irs = self.rcv_nxt = None
        self.snd_wnd = 65535
        self.window = 65535  # the window we advertise
        self.mss = 1400
        self.rx = bytearray()
        self.log, self.sent = [], []
        self.fin_seen = self.rst_seen = False
        self.auto_ack = True
        self.retransmit = True
        self.nonsyn_options = lambda: b""  # options of every segment without SYN
        self._ahead = {}
        self._unacked = []
        self._rtx_at = 0.0
        stack.connections.append(self)

    # Sending

    def segment(self, flags, payload=b"", options=b"", seq=None, ack=None, **other):
        return Segment(
            self.local,
            self.remote,
            self.lport,
            self.rport,
            self.snd_nxt if seq is None else seq,
            (self.rcv_nxt or 0) if ack is None else ack,
            flags,
            window=other.pop("window", self.window),
            options=options,
            payload=payload,
            **other,
        )

    def transmit(self, segment, track=True):
        """Onto the wire; track: it takes part in the sequence numbers and is retransmitted until acknowledged."""
        self.sent.append(segment)
        if track and segment.length():
            if not self._unacked:
                self._rtx_at = time.monotonic() + self.RTO
            self._unacked.append(segment)
            end = (segment.seq + segment.length()) & MASK
            if self._after(end, self.snd_nxt):
                self.snd_nxt = end
        self.stack.send(segment)
        return segment

    def lose(self, segment):
        """As transmit(), but the network loses it; the retransmission gets through."""
        real, self.stack.send = self.stack.send, lambda _: None
        try:
            return self.transmit(segment)
        finally:
            self.stack.send = real

    def send_ack(self, **other):
        return self.transmit(self.segment(ACK, options=self.nonsyn_options(), **other))

    def send_data(self, data, flags=PSH, sizes=None, timeout=20):
        """All of `data` in segments of mss bytes, or of the sizes given (the last is repeated); PSH on the last."""
        at, index = 0, 0
        while at < len(data):
            size = self.mss
            if sizes:
                size = sizes[min(index, len(sizes) - 1)]
            chunk = bytes(data[at : at + size])
            self.wait(lambda: self._in_flight() + len(chunk) <= self.snd_wnd or self.rst_seen, timeout, "window")
            last = at + len(chunk) == len(data)
            options = self.nonsyn_options()
            self.transmit(self.segment(ACK | (flags if last else 0), chunk, options))
            at += len(chunk)
            index += 1
            self.stack.drain()

    def send_fin(self, data=b""):
        return self.transmit(self.segment(FIN | ACK, data, self.nonsyn_options()))

    def send_rst(self):
        return self.transmit(self.segment(RST | ACK), track=False)

    def close(self):
        """Forget it, and let the other end forget it."""
        if self.remote is not None and self.rcv_nxt is not None and not self.rst_seen:
            self.send_rst()
        if self in self.stack.connections:
            self.stack.connections.remove(self)

    # Receiving

    def wants(self, segment):
        if segment.dst != self.local or segment.dport != self.lport:
            return False
        if self.rport is None:  # listening
            return segment.flags & (SYN | ACK | RST) == SYN
        return segment.sport == self.rport and segment.src == self.remote

    def on_segment(self, segment):
        if not segment.checksum_ok:
            raise AssertionError("segment with a wrong checksum: %r" % segment)
        self.log.append(segment)
        if segment.has(RST):
            self.rst_seen = True
            return
        if segment.has(SYN):
            if self.rport is None:
                self.remote, self.rport = segment.src, segment.sport
            if self.irs is None:
                self.irs = segment.seq
                self.rcv_nxt = (segment.seq + 1) & MASK
            elif segment.seq == self.irs and self.auto_ack and self._una_past_syn():
                self.send_ack()
        if segment.has(ACK):
            self._on_ack(segment)
        if not segment.has(SYN):
            self._on_data(segment)

    def _una_past_syn(self):
        return self.snd_una != self.iss

    def _on_ack(self, segment):
        self.snd_wnd = segment.window  # we never offer window scaling
        if self._after(segment.ack, self.snd_una) and not self._after(segment.ack, self.snd_nxt):
            self.snd_una = segment.ack
            self._rtx_at = time.monotonic() + self.RTO
            self._unacked = [s for s in self._unacked if self._after(s.seq + s.length(), self.snd_una)]

    def _on_data(self, segment):
        if not segment.length() or self.rcv_nxt is None:
            return
        self._ahead[segment.seq] = segment
        progress = True
        while progress:
            progress = False
            for seq, held in list(self._ahead.items()):
                offset = (self.rcv_nxt - seq) & MASK
                if offset >= 1 << 31:
                    continue
                del self._ahead[seq]
                if offset <= held.length() and not self.fin_seen:
                    fresh = held.payload[offset:]
                    self.rx += fresh
                    self.rcv_nxt = (self.rcv_nxt + len(fresh)) & MASK
                    if held.has(FIN):
                        self.fin_seen = True
                        self.rcv_nxt = (self.rcv_nxt + 1) & MASK
                    progress = True
        if self.auto_ack:
            self.send_ack()

    # Waiting

    def _in_flight(self):
        return (self.snd_nxt - self.snd_una) & MASK

    def unacked(self):
        return self._in_flight()

    @staticmethod
    def _after(a, b):
        return 0 < ((a - b) & MASK) < 1 << 31

    def tick(self):
        if self.retransmit and self._unacked and time.monotonic() > self._rtx_at:
            self._rtx_at = time.monotonic() + self.RTO
            old = self._unacked[0]
            if not old.has(SYN):
                old.ack = self.rcv_nxt or 0
            self.stack.send(old)

    def wait(self, condition, timeout=10, what="condition"):
        """Runs the stack until the condition is true."""
        deadline = time.monotonic() + timeout
        while True:
            self.stack.drain()
            if condition():
                return
            if time.monotonic() > deadline:
                raise Timeout("peer waited %s s for %s" % (timeout, what))
            self.tick()
            self.stack.pump(0.05)

    def wait_segment(self, condition, timeout=10, what="a segment", start=0):
        """The first segment of the log, from index `start`, that fulfils the condition."""
        found = []

        def look():
            found[:] = [s for s in self.log[start:] if condition(s)]
            return found

        self.wait(look, timeout, what)
        return found[0]

    def wait_acked(self, timeout=10):
        self.wait(lambda: not self._in_flight() or self.rst_seen, timeout, "acknowledgement")

    def wait_rst(self, timeout=10):
        self.wait(lambda: self.rst_seen, timeout, "RST")

    def wait_fin(self, timeout=10):
        self.wait(lambda: self.fin_seen, timeout, "FIN")

    def read(self, count, timeout=10):
        """The next `count` bytes of the stream."""
        self.wait(lambda: len(self.rx) >= count or self.rst_seen, timeout, "%d bytes" % count)
        if len(self.rx) < count:
            raise ConnectionResetError("RST")
        data = bytes(self.rx[:count])
        del self.rx[:count]
        return data

    def covering(self, offset):
        """The received segments that carry byte `offset` of the stream (0 is the first after the SYN)."""
        seq = (self.irs + 1 + offset) & MASK
        return [s for s in self.log if not s.has(SYN) and ((seq - s.seq) & MASK) < len(s.payload)]
