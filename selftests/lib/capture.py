# SPDX-License-Identifier: GPL-2.0
"""What is on a link: every packet of a device, looked through for the canary.

A capture that saw nothing, or lost packets, proves nothing and fails.
"""

import contextlib
import socket
import struct
import threading

from peer.tcp import Segment

from .data import CANARY
from .harness import check

ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
SOL_PACKET, PACKET_STATISTICS = 263, 6


class Capture:
    def __init__(self, ns, device, buffer=128 << 20):
        with ns:
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer)
        self.sock.bind((device, ETH_P_ALL))
        self.sock.settimeout(0.1)
        self.packets = self.bytes = self.seen = 0
        self.syn_options = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        buffer = bytearray(1 << 18)
        view = memoryview(buffer)
        while True:
            try:
                size = self.sock.recv_into(view)
            except TimeoutError:
                if self._stop.is_set():
                    return
                continue
            self.packets += 1
            self.bytes += size
            if buffer.find(CANARY, 0, size) >= 0:
                self.seen += 1

    def stop(self):
        """Takes what is still in the queue, then no more. Packets lost by the capture are an error."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        _, drops = struct.unpack("II", self.sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self.sock.close()
        check(not drops, "capture lost %d packets" % drops)

    def verify(self, least=4):
        """No plaintext on this link, on which there were some packets."""
        self.stop()
        check(self.packets >= least, "capture saw only %d packets" % self.packets)
        check(not self.seen, "canary in %d of %d packets" % (self.seen, self.packets))


@contextlib.contextmanager
def segments(ns, device="veth0"):
    """`with segments(ns) as seen: ...` and then seen(port) are the TCP segments from and to this port, in both directions.

    For handshakes and other small traffic: the queue must hold it all.
    """
    with ns:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        sock.bind((device, ETH_P_ALL))
        sock.setblocking(False)
        found = []

        def seen(port):
            return [segment for segment in found if port in (segment.sport, segment.dport)]

        yield seen
        while True:
            try:
                segment = Segment.from_packet(sock.recv(1 << 18))
            except BlockingIOError:
                break
            if segment:
                found.append(segment)
        _, drops = struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    check(not drops, "capture lost %d packets" % drops)
