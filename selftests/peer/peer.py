# SPDX-License-Identifier: GPL-2.0
"""A whole peer: TCP handshake with ENO, key exchange, frames. Each step is a call, and each can be done wrongly.

    peer = Peer.passive(stack, family, port)     # the kernel connects to it
    peer.open()                                  # = wait_syn, send_synack, wait_ack, exchange_keys
    peer.send(b"data"); peer.recv(4); peer.finish()

    peer = Peer.active(stack, family, port)      # it connects to the kernel
    peer.open()                                  # = send_syn, wait_synack, send_ack, exchange_keys
"""

import random

from . import agreement, crypt, eno
from .tcp import ACK, FIN, OPT_TS, PSH, RST, SYN, Connection, mss_option, pad

DEFAULT = object()


class Peer:
    def __init__(self, stack, family, lport, remote=None, rport=None, active=False):
        self.stack = stack
        self.family = family
        self.is_active = active
        self.tcp = Connection(stack, stack.address(family), lport, remote, rport)
        self.own_option = None  # SYN-form options as on the wire
        self.other_option = None
        self.role = None
        self.tep_byte = None
        self.secrets = None
        self.tx = self.rx = None
        self.frames = []
        self.follows = False  # True: as section 3.8 demands, whenever a frame is read
        self._empty_rekey = 0  # the last generation that the other side initiated with an empty frame
        self.keys = None
        self.nonce = crypt.new_nonce()
        self.sent_init = self.received_init = None
        self._plain = bytearray()
        self.tcp.nonsyn_options = self._nonsyn_options

    @classmethod
    def passive(cls, stack, family, port):
        return cls(stack, family, port)

    @classmethod
    def active(cls, stack, family, port, lport=None):
        lport = lport or random.randint(20000, 60000)
        return cls(stack, family, lport, stack.kernel_address(family), port, active=True)

    def address(self):
        """For the kernel's connect()."""
        return (self.stack.host[self.family], self.tcp.lport)

    # ENO and the TCP handshake

    teps = (eno.TEP_X25519,)  # what it offers and, as host B, answers with the first of

    send_nonsyn = True  # False: breaks the rule of section 4.6

    def _nonsyn_options(self):
        """An active opener sends the non-SYN form until it has received a segment without SYN (RFC 8547 4.6)."""
        if not (self.is_active and self.send_nonsyn and self.own_option and self.other_option):
            return b""
        if any(not s.flags & (SYN | RST) for s in self.tcp.log):
            return b""
        return pad(eno.NON_SYN)

    def send_syn(self, option=DEFAULT, options=None, payload=b"", lose=False):
        """option: the ENO option or None; options: all the bytes after the TCP header, as they are."""
        self.own_option = eno.syn_option(*self.teps) if option is DEFAULT else option
        if options is None:
            options = pad(mss_option() + (self.own_option or b""))
        segment = self.tcp.segment(SYN, payload, options, ack=0)
        return self.tcp.lose(segment) if lose else self.tcp.transmit(segment)

    def wait_syn(self, timeout=10):
        """The kernel's SYN."""
        return self._take_option(self.tcp.wait_segment(lambda s: s.has(SYN), timeout, "SYN"))

    def wait_synack(self, timeout=10):
        return self._take_option(self.tcp.wait_segment(lambda s: s.has(SYN | ACK), timeout, "SYN-ACK"))

    def _take_option(self, segment):
        found = segment.option(eno.KIND)
        self.other_option = found[0] if len(found) == 1 else None
        return segment

    def send_synack(self, option=DEFAULT, options=None, lose=False):
        self.own_option = eno.synack_option(self.teps[0]) if option is DEFAULT else option
        if options is None:
            options = pad(mss_option() + (self.own_option or b""))
        segment = self.tcp.segment(SYN | ACK, b"", options)
        return self.tcp.lose(segment) if lose else self.tcp.transmit(segment)

    def wait_ack(self, timeout=10):
        """The first segment without SYN."""
        return self.tcp.wait_segment(lambda s: not s.has(SYN) and s.has(ACK), timeout, "ACK")

    def send_ack(self, options=None):
        options = self._nonsyn_options() if options is None else options
        return self.tcp.transmit(self.tcp.segment(ACK, options=options))

    def negotiate(self):
        """The outcome by RFC 8547 4.5; raises eno.Disabled."""
        if not (self.own_option and self.other_option):
            raise eno.Disabled("no option")
        self.tep_byte, self.role, self.transcript = eno.negotiate(self.own_option, self.other_option, self.teps)
        self.keys = agreement.KeyPair(self.tep)

    @property
    def tep(self):
        """The negotiated TEP."""
        return self.tep_byte & 0x7F

    def handshake(self):
        """TCP with ENO, up to the third segment."""
        if self.is_active:
            self.send_syn()
            self.wait_synack()
            self.send_ack()
        else:
            self.wait_syn()
            self.send_synack()
            if not self.wait_ack().option(eno.KIND):
                raise crypt.ProtocolError("no ENO option in the first ACK")
        self.negotiate()
        return self

    def handshake_plain(self):
        """TCP without any ENO from our side."""
        if self.is_active:
            self.send_syn(option=None)
            segment = self.wait_synack()
            self.send_ack()
        else:
            self.wait_syn()
            self.send_synack(option=None)
            segment = self.wait_ack()
        return segment

    def open(self, **init):
        self.handshake()
        self.exchange_keys(**init)
        return self

    # Key exchange

    def build_init(self, ciphers=tuple(crypt.AEADS), cipher=None, nonce=None, public=None, **wrong):
        nonce = nonce or self.nonce
        public = public or self.keys.public
        if self.role == "A":
            return crypt.init1(list(ciphers), nonce, public, **wrong)
        chosen = cipher
        if chosen is None:
            chosen = next(c for c in ciphers if c in self.received_init.ciphers)
        return crypt.init2(chosen, nonce, public, **wrong)

    def send_init(self, sizes=None, psh=True, tail=b"", **init):
        """Init1 or Init2; sizes: of the segments; tail: bytes that go out in the same segment after it."""
        self.sent_init = self.build_init(**init)
        self.tcp.send_data(self.sent_init + tail, PSH if psh else 0, sizes)

    def read_init(self, timeout=10):
        """Reads and checks the other side's message, its PSH included (section 3.3)."""
        want_init1 = self.role == "B"
        head = self.tcp.read(8, timeout)
        length = int.from_bytes(head[4:8], "big")
        if not 8 < length < 4096:
            raise crypt.ProtocolError("message of %d bytes: %s" % (length, head.hex()))
        raw = head + self.tcp.read(length - 8, timeout)
        self.received_init = (crypt.Init1 if want_init1 else crypt.Init2).parse(raw, self.tep)
        last = self.tcp.covering(length - 1)
        if not last or not all(s.has(PSH) for s in last):
            raise crypt.ProtocolError("no PSH on the segment with the last byte")
        return self.received_init

    def exchange_keys(self, **init):
        if self.role == "A":
            self.send_init(**init)
            self.read_init()
        else:
            self.read_init()
            self.send_init(**init)
        self.derive()

    def derive(self):
        first, second = self.sent_init, self.received_init.raw
        nonce, aead = self.nonce, getattr(self.received_init, "cipher", None)
        if self.role == "B":
            first, second = second, first
            nonce, aead = self.received_init.nonce, int.from_bytes(second[8:10], "big")
        shared = self.keys.shared(self.received_init.public)
        self.secrets = crypt.Secrets(nonce, self.transcript, first, second, shared, self.tep_byte, aead)
        other = "B" if self.role == "A" else "A"
        self.tx = crypt.Direction(self.secrets, self.role, len(self.sent_init))
        self.rx = crypt.Direction(self.secrets, other, len(self.received_init.raw))

    # Frames

    def send(self, data, flags=0, control=0, urgent=None, sizes=None):
        """One frame."""
        frame = self.tx.seal(data, flags, control, urgent)
        self.tcp.send_data(frame, sizes=sizes)
        return frame

    def read_frame(self, timeout=10):
        head = self.tcp.read(3, timeout)
        frame = self.rx.open(head + self.tcp.read(int.from_bytes(head[1:3], "big"), timeout))
        if self.frames and self.frames[-1].fin:
            raise crypt.ProtocolError("frame after the one with FINp")
        self.frames.append(frame)
        if frame.control & crypt.REKEY:
            self._rekeyed(frame)
        return frame

    def _rekeyed(self, frame):
        """The other side began a generation, with the key of which the frame was opened (section 3.8)."""
        if self.rx.generation > self.tx.generation and not frame.data and not frame.fin:
            # Its remote generation number can't be greater than what we sent.
            if self._empty_rekey > self.tx.generation:
                raise crypt.ProtocolError("initiates twice with an empty frame before we followed")
            self._empty_rekey = self.rx.generation
        while self.follows and self.tx.generation < self.rx.generation:
            self.rekey()

    def rekey(self, data=b"", **frame):
        """Our next generation."""
        self.tx.rekey()
        return self.send(data, control=crypt.REKEY, **frame)

    def recv(self, count, timeout=10):
        """The next `count` bytes of plaintext; b"" at an authentic end."""
        while len(self._plain) < count:
            if self.frames and self.frames[-1].fin:
                break
            self._plain += self.read_frame(timeout).data
        data = bytes(self._plain[:count])
        del self._plain[:count]
        return data

    def wait_end(self, timeout=10):
        """The rest of the plaintext, up to the frame with FINp and the FIN."""
        while not (self.frames and self.frames[-1].fin):
            self._plain += self.read_frame(timeout).data
        self.tcp.wait_fin(timeout)
        if self.tcp.rx:
            raise crypt.ProtocolError("%d bytes after the frame with FINp" % len(self.tcp.rx))
        data = bytes(self._plain)
        self._plain.clear()
        return data

    def finish(self, data=b""):
        """Our end of stream: FINp and FIN."""
        self.tcp.send_fin(self.tx.seal(data, crypt.FINP))

    def close(self):
        self.tcp.close()


__all__ = ["Peer", "DEFAULT", "ACK", "FIN", "PSH", "RST", "SYN", "OPT_TS"]
