# SPDX-License-Identifier: GPL-2.0
"""Segments that no honest host would send, by a seeded generator, and what RFC 8547 says about their options.

Not a library for property-based tests: those spend milliseconds on each example, and far more in an emulated
machine. Here one costs tens of microseconds, and shrinking is no use against a kernel that keeps state. The same seed
gives the same segments.
"""

import random
import struct

from peer import eno
from peer.tcp import ACK, FIN, PSH, RST, SYN, URG, options_list

TCP = 6
MAX_OPTIONS = 40

MSS = bytes.fromhex("020405b4")
OTHERS = (
    MSS,
    bytes.fromhex("0402"),
    bytes.fromhex("030307"),
    bytes.fromhex("080a0000000100000000"),
    bytes.fromhex("2202"),
    bytes.fromhex("220a0102030405060708"),
    bytes.fromhex("fd04f989"),
    bytes.fromhex("1e0c01010102030405060708"),
    bytes.fromhex("ac02"),
    bytes.fromhex("ae0b0100010000010000010000"[:22]),
    bytes.fromhex("fd05454e23"),
)
SUBOPTIONS = (
    b"\x23",
    b"\x23",
    b"\x21",
    b"\x22",
    b"\x24",
    b"\x20",
    b"\x7f",
    b"\x00",
    b"\x01",
    b"\x02",
    b"\x03",
    b"\x1e",
    b"\x80\xa1\x55",
    b"\x83\xffabcd",
    b"\x88\xa3" + bytes(9),
    b"\x90\xa1" + bytes(17),
    b"\xa3" + bytes(9),
    b"\xa3",
    b"\xff",
    b"\x80",
    b"\x9f\xa3",
    b"\x80\x23\x23",
)
FLAGS = (FIN, SYN, RST, PSH, ACK, URG, 0x40, 0x80)


def folded(data):
    """The checksum of RFC 1071, by the arithmetic of long numbers."""
    if len(data) % 2:
        data += b"\0"
    return ~(int.from_bytes(data, "big") % 0xFFFF) & 0xFFFF


def packet(src, dst, sport, dport, seq, ack, flags, options=b"", payload=b"", doff=None, cut=None, spoil=0):
    """An IP packet with one segment. doff: another data offset than the right one, in words; cut: the length of the
    segment after which it ends; the checksums are of what is left, spoil is added to that of TCP."""
    words = (20 + len(options)) // 4 if doff is None else doff
    head = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, words << 4, flags, 65535, 0, 0)
    tcp = (head + options + payload)[:cut]
    if len(src) == 4:
        pseudo = src + dst + struct.pack("!HH", TCP, len(tcp))
    else:
        pseudo = src + dst + struct.pack("!II", len(tcp), TCP)
    if len(tcp) >= 18:
        tcp = b"%b%b%b" % (tcp[:16], struct.pack("!H", (folded(pseudo + tcp) + spoil) & 0xFFFF), tcp[18:])
    if len(src) == 4:
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, TCP, 0, src, dst)
        ip = b"%b%b%b" % (ip[:10], struct.pack("!H", folded(ip)), ip[12:])
    else:
        ip = struct.pack("!IHBB16s16s", 6 << 28, len(tcp), TCP, 64, src, dst)
    return ip + tcp


class Mutator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def often(self, share):
        return self.random.random() < share

    def eno_option(self, passive=False):
        """One from which the others are made; passive: as in a SYN-ACK."""
        parts = [self.random.choice(SUBOPTIONS) for _ in range(self.random.choice((0, 1, 1, 2, 3)))]
        if self.often(0.8):
            parts.insert(self.random.randint(0, len(parts)), b"\x23")
        if passive and self.often(0.8):
            parts.insert(0, b"\x01")
        return eno.option(b"".join(parts)[: MAX_OPTIONS - 2])

    def options(self, passive=False):
        """The bytes after a TCP header, in words."""
        pick = self.random
        if self.often(0.05):
            return bytes(pick.getrandbits(8) for _ in range(4 * pick.randint(1, 10)))
        parts = [self.eno_option(passive)]
        for _ in range(pick.choice((0, 1, 1, 2, 3))):
            parts.insert(pick.randint(0, len(parts)), pick.choice(OTHERS))
        if self.often(0.1):
            parts.append(self.eno_option(passive) if self.often(0.5) else parts[0])
        raw = bytearray(b"".join(parts))
        if self.often(0.5):
            for _ in range(pick.choice((1, 1, 2, 4))):
                self._change(raw)
        del raw[MAX_OPTIONS:]
        filler = pick.choice((b"\x01", b"\x00", b"\x00", bytes([pick.getrandbits(8)])))
        return bytes(raw) + filler * (-len(raw) % 4)

    def _change(self, raw):
        pick = self.random
        at = pick.randrange(len(raw)) if raw else 0
        what = pick.randrange(6)
        if what == 0 and raw:
            raw[at] ^= 1 << pick.randrange(8)
        elif what == 1:
            raw.insert(at, pick.getrandbits(8))
        elif what == 2 and raw:
            del raw[at]
        elif what == 3:
            del raw[at:]
        elif what == 4:
            place = raw.find(eno.KIND)
            if 0 <= place < len(raw) - 1:
                raw[place + 1] = pick.choice((0, 1, 2, 3, raw[place + 1] + 1 & 255, len(raw), 40, 255))
        else:
            other = pick.randrange(len(raw) + 1)
            raw[at:at] = raw[min(at, other) : max(at, other)]

    def header(self, flags, seq, ack):
        """Something about the header that is wrong: keywords for packet(), with flags, seq, ack."""
        pick = self.random
        wrong = {"flags": flags, "seq": seq, "ack": ack}
        what = pick.randrange(8)
        if what == 0:
            wrong["spoil"] = pick.randint(1, 0xFFFE)
        elif what == 1:
            wrong["doff"] = pick.randrange(16)
        elif what == 2:
            wrong["cut"] = pick.randrange(62)
        elif what == 3:
            wrong["flags"] = sum(flag for flag in FLAGS if self.often(0.4))
        elif what == 4:
            wrong["flags"] = flags ^ pick.choice(FLAGS)
        elif what == 5:
            wrong["payload"] = bytes(pick.getrandbits(8) for _ in range(pick.choice((1, 8, 100, 1000))))
        elif what == 6:
            wrong["seq"] = pick.choice((seq - 1, seq + 1, seq + 70000, pick.getrandbits(32)))
        else:
            wrong["ack"] = pick.choice((ack - 1, ack + 1, ack + 70000, pick.getrandbits(32)))
        return wrong


# What RFC 8547 says about them, by the peer's parser

YES, NO, MAYBE = "encrypted", "plain", "either"


def eno_of(options):
    return [raw for kind, raw in options_list(options) if kind == eno.KIND]


def parsed(options):
    """The suboptions of the only ENO option; None if there is none, more than one, or an ill-formed one."""
    found = eno_of(options)
    if len(found) != 1:
        return None
    try:
        return eno.parse(found[0])
    except eno.Malformed:
        return None


def with_cookie(options):
    """Whether there is a non-empty Fast Open option (section 4.7)."""
    return any(
        (kind == 34 and len(raw) > 2) or (kind == 253 and raw[2:4] == b"\xf9\x89" and len(raw) > 4)
        for kind, raw in options_list(options)
    )


# Half an identifier and the longest nonce (RFC 8548 3.5): more is no suboption of tcpcrypt's (RFC 8547 4.5, 2.).
LONGEST_DATA = 9 + 8


def valid(suboptions, identifier):
    """The only suboption of this TEP, None if there is none, more than one or one with too much data."""
    found = [s for s in suboptions if s.glt == identifier]
    return found[0] if len(found) == 1 and len(found[0].data) <= LONGEST_DATA else None


def offered(options):
    """Whether a listener that knows 0x23, and perhaps 0x21, 0x22 and 0x24, has to accept the offer of a SYN."""
    suboptions = parsed(options)
    if suboptions is None or eno.global_byte(suboptions) & eno.GLOBAL_B or with_cookie(options):
        return NO
    if valid(suboptions, eno.TEP_X25519):
        return YES
    return MAYBE if any(valid(suboptions, identifier) for identifier in range(0x21, 0x25)) else NO


def answered(options):
    """The same for the SYN-ACK that a host A gets which offered 0x23 only, and no session to resume."""
    suboptions = parsed(options)
    if suboptions is None or not eno.global_byte(suboptions) & eno.GLOBAL_B:
        return NO
    found = valid(suboptions, eno.TEP_X25519)
    return YES if found and not found.v else NO
