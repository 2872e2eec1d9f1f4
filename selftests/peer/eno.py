# SPDX-License-Identifier: GPL-2.0
"""RFC 8547: the ENO option (section 4.1 to 4.4), the negotiated TEP (4.5), roles (4.3) and the transcript (4.8)."""

from dataclasses import dataclass

KIND = 69

TEP_P256, TEP_P521, TEP_X25519, TEP_X448 = 0x21, 0x22, 0x23, 0x24

GLOBAL_B, GLOBAL_A = 0x01, 0x02  # passive role bit, application-aware bit

NON_SYN = bytes([KIND, 2])


class Malformed(ValueError):
    pass


class Disabled(ValueError):
    """The negotiation ends in plain TCP."""


@dataclass
class Suboption:
    glt: int
    v: int
    data: bytes = b""

    @property
    def byte(self):
        return self.v << 7 | self.glt


def option(*contents):
    """A whole option. Contents: suboption bytes as int, or bytes as they are."""
    body = b"".join(bytes([c]) if isinstance(c, int) else bytes(c) for c in contents)
    return bytes([KIND, len(body) + 2]) + body


def syn_option(*teps):
    """What an active opener with default settings offers."""
    return option(*teps)


def synack_option(tep):
    """What a passive opener answers: b = 1 and one TEP."""
    return option(GLOBAL_B, tep)


def parse(raw):
    """The suboptions of a SYN-form option; raises Malformed by the two rules at the end of section 4.4."""
    body, found, at = raw[2 : raw[1]], [], 0
    while at < len(body):
        byte = body[at]
        glt, v = byte & 0x7F, byte >> 7
        if v and glt < 0x20:  # length byte
            length = (glt & 0x1F) + 1
            at += 1
            if at >= len(body) or at + 1 + length > len(body):
                raise Malformed("data beyond the option's end")
            if body[at] < 0xA0:
                raise Malformed("length byte before 0x%02x" % body[at])
            found.append(Suboption(body[at] & 0x7F, 1, body[at + 1 : at + 1 + length]))
            at += 1 + length
        elif v:  # data to the end
            found.append(Suboption(glt, 1, body[at + 1 :]))
            at = len(body)
        else:
            found.append(Suboption(glt, 0))
            at += 1
    return found


def global_byte(suboptions):
    """The first in the range 0x00-0x1f, 0x00 if there is none."""
    return next((s.glt for s in suboptions if s.glt < 0x20), 0)


def negotiate(own, other, supported=(TEP_X25519,)):
    """(TEP byte of the session ID, own role, transcript) from the two SYN-form options as they were on the wire."""
    mine, theirs = parse(own), parse(other)
    my_b, their_b = global_byte(mine) & GLOBAL_B, global_byte(theirs) & GLOBAL_B
    if my_b == their_b:
        raise Disabled("same role")
    a, b = (theirs, mine) if my_b else (mine, theirs)
    in_a = {s.glt for s in a if s.glt >= 0x20}
    common = [s for s in b if s.glt >= 0x20 and s.glt in in_a and s.glt in supported]
    if not common:
        raise Disabled("no common TEP")
    transcript = other + own if my_b else own + other
    return common[-1].byte, "B" if my_b else "A", transcript
