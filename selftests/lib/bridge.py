# SPDX-License-Identifier: GPL-2.0
"""A middlebox: namespaces a and b joined by a forwarder of our own, which may change, drop or cut any TCP segment.

    a (veth0) ---- m0 [ forwarder ] m1 ---- (veth0) b

rule(segment, to_b) returns the segments to pass on. Frames that are no TCP pass as they are.
"""

import fcntl
import functools
import select
import socket
import struct
import threading
from array import array

from peer.tcp import Segment, options_list, pad

from . import net, ulp

SIOCETHTOOL = 0x8946
NO_OFFLOADS = (0x17, 0x1F, 0x24, 0x2C, 0x19)  # ETHTOOL_STXCSUM, STSO, SGSO, SGRO, SSG
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 263, 1, 1
PACKET_OUTGOING, ETH_P_ALL = 4, 3


def no_offloads(ns, device):
    """Packets as they would be on a cable: whole checksums, no super-segments."""
    with ns, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for command in NO_OFFLOADS:
            value = array("B", struct.pack("II", command, 0))
            request = struct.pack("16sPxxxxxxxx", device.encode(), value.buffer_info()[0])
            try:
                fcntl.ioctl(sock, SIOCETHTOOL, request)
            except OSError:
                pass


class Middlebox:
    def __init__(self):
        self.a, self.b, self.middle = net.Netns("a"), net.Netns("b"), net.Netns("m")
        self.rule = pass_on
        for number, (ns, port) in enumerate(((self.a, "m0"), (self.b, "m1")), 1):
            net.run("ip link add veth0 netns %s type veth peer name %s netns %s" % (ns.name, port, self.middle.name))
            no_offloads(ns, "veth0")
            no_offloads(self.middle, port)
            with self.middle:
                net.run("ip link set %s up" % port)
            net.configure(ns, "veth0", number)
        self.ports = [self._port(device) for device in ("m0", "m1")]
        self._thread = threading.Thread(target=self._forward, daemon=True)
        self._thread.start()
        if ulp.loaded():
            ulp.enable(self.a, self.b)

    def _port(self, device):
        with self.middle:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            number = socket.if_nametoindex(device)
        sock.bind((device, ETH_P_ALL))
        sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, struct.pack("IHH8s", number, PACKET_MR_PROMISC, 0, b""))
        return sock

    def _forward(self):
        poll = select.poll()
        ports = {sock.fileno(): (sock, self.ports[1 - i], i == 0) for i, sock in enumerate(self.ports)}
        for fd in ports:
            poll.register(fd, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                source, target, to_b = ports[fd]
                try:
                    frame, address = source.recvfrom(65536)
                    if address[2] != PACKET_OUTGOING:
                        for out in self._apply(frame, to_b):
                            target.send(out)
                except OSError:  # the namespaces are going away
                    return

    def _apply(self, frame, to_b):
        segment = Segment.from_packet(frame[14:]) if frame[12:14] in (b"\x08\x00", b"\x86\xdd") else None
        if segment is None or self.rule is pass_on:
            return [frame]
        return [frame[:14] + out.to_packet() for out in self.rule(segment, to_b)]

    address = staticmethod(lambda side, family: net.Pair.address(side, family))


def pass_on(segment, to_b):
    return [segment]


def without(segment, kind):
    """The option taken out, as a firewall does."""
    kept = b"".join(raw for found, raw in options_list(segment.options) if found not in (kind, 1))
    segment.options = pad(kept)
    return segment


def blanked(segment, kind):
    """The option overwritten with NOPs, as others do."""
    segment.options = b"".join(
        bytes([1]) * len(raw) if found == kind else raw for found, raw in options_list(segment.options)
    ).ljust(len(segment.options), b"\0")
    return segment


@functools.cache
def middlebox():
    return Middlebox()
