# SPDX-License-Identifier: GPL-2.0
"""RFC 8548, section 3.5: sessions that may be resumed."""

from . import eno
from .crypt import CONST_NEXTK, CONST_REKEY, CONST_RESUME, CONST_SESSID, K_LEN, Direction, Secrets, cprf


class Session:
    """What one host keeps of a connection: ss[i], i > 0, and its role in the original session."""

    def __init__(self, ss, tep, aead, role):
        self.ss, self.tep, self.aead, self.role = ss, tep, aead, role
        resume = cprf(ss, CONST_RESUME, 18)
        self.own, self.other = (resume[:9], resume[9:]) if role == "A" else (resume[9:], resume[:9])

    @classmethod
    def after(cls, peer):
        """The one that may follow the connection of this peer."""
        secrets = peer.secrets
        role = getattr(secrets, "original_role", peer.role)
        return cls(secrets.session_secret(1), peer.tep_byte & 0x7F, secrets.aead, role)

    def suboption(self, nonce):
        """What names it, as the last suboption of an option."""
        return bytes([0x80 | self.tep]) + self.own + nonce


class Resumed(Secrets):
    """The secrets of a session that was resumed."""

    def __init__(self, session, own_nonce, other_nonce):
        a, b = (own_nonce, other_nonce) if session.role == "A" else (other_nonce, own_nonce)
        self.ss = [session.ss]
        self.aead, self.original_role = session.aead, session.role
        self.mk = [cprf(session.ss, CONST_REKEY + a + b, K_LEN)]
        self.session_id = bytes([0x80 | session.tep]) + cprf(session.ss, CONST_SESSID + a + b, K_LEN)

    def session_secret(self, i):
        while len(self.ss) <= i:
            self.ss.append(cprf(self.ss[-1], CONST_NEXTK, K_LEN))
        return self.ss[i]


def named(option):
    """(TEP, half, nonce) of the resumption suboption in an ENO option, or None."""
    for sub in eno.parse(option):
        if sub.v and sub.glt >= 0x20 and len(sub.data) >= 9:
            return sub.glt, sub.data[:9], sub.data[9:]
    return None


def resume(peer, session, own_nonce):
    """The peer goes on with this session, once both options were exchanged."""
    tep, half, nonce = named(peer.other_option)
    if (tep, half) != (session.tep, session.other):
        raise AssertionError("the other side names another session")
    peer.role = "B" if eno.global_byte(eno.parse(peer.own_option)) & eno.GLOBAL_B else "A"
    peer.tep_byte = 0x80 | tep
    peer.secrets = Resumed(session, own_nonce, nonce)
    other = "B" if session.role == "A" else "A"
    # There were no messages before the first frame.
    peer.tx = Direction(peer.secrets, session.role, 0)
    peer.rx = Direction(peer.secrets, other, 0)
