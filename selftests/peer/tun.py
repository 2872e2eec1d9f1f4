# SPDX-License-Identifier: GPL-2.0
"""A host of our own behind a TUN device: it has addresses of its own, so the kernel's TCP never answers for it.

The kernel has 10.99.0.1 and fd99::1 on the device, the peer 10.99.0.2 and fd99::2.
"""

import fcntl
import os
import random
import select
import socket
import struct
import subprocess

from .tcp import Segment

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000

PREFIX4, PREFIX6 = "10.99.0.", "fd99::"


class Stack:
    """The peer's host. Made in the network namespace of the calling thread."""

    def __init__(self, name="peer0", mtu=1500, net=0):
        if not os.path.exists("/dev/net/tun"):
            subprocess.run(["modprobe", "tun"], check=True)
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
        self.kernel = {4: "10.99.%d.1" % net, 6: "fd99:%x::1" % net}
        self.host = {4: "10.99.%d.2" % net, 6: "fd99:%x::2" % net}
        commands = [
            "link set %s mtu %d txqueuelen 5000 up" % (name, mtu),
            "addr add %s/24 dev %s" % (self.kernel[4], name),
            "addr add %s/64 dev %s nodad" % (self.kernel[6], name),
        ]
        for command in commands:
            subprocess.run(["ip"] + command.split(), check=True)
        self.connections = []
        self.strays = []
        self._poll = select.poll()
        self._poll.register(self.fd, select.POLLIN)

    def address(self, family):
        return socket.inet_pton(socket.AF_INET if family == 4 else socket.AF_INET6, self.host[family])

    def kernel_address(self, family):
        return socket.inet_pton(socket.AF_INET if family == 4 else socket.AF_INET6, self.kernel[family])

    @staticmethod
    def random_iss():
        return random.getrandbits(32)

    def send(self, segment):
        self.write(segment.to_packet())

    def write(self, packet):
        """An IP packet to the kernel."""
        os.write(self.fd, packet)

    def pump(self, timeout=0.0):
        """Takes one packet from the kernel to its connection; False if there was none in time."""
        if not self._poll.poll(timeout * 1000):
            return False
        try:
            packet = os.read(self.fd, 65536)
        except BlockingIOError:
            return False
        segment = Segment.from_packet(packet)
        if segment is None:
            return True
        for connection in self.connections:
            if connection.wants(segment):
                connection.on_segment(segment)
                return True
        self.strays.append(segment)
        return True

    def drain(self):
        while self.pump(0):
            pass

    def close(self):
        os.close(self.fd)
