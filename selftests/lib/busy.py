# SPDX-License-Identifier: GPL-2.0
"""A socket that a process owns for as long as a test wants: its segments wait in the backlog meanwhile.

The process is in setsockopt(), which copies the value with the lock held, and the second page of the value is not there yet
(userfaultfd).
"""

import ctypes
import fcntl
import mmap
import os
import select
import socket
import struct

from .harness import Background, defer, equal

PAGE = mmap.PAGESIZE
SYS_USERFAULTFD = 323  # x86-64
UFFDIO_API, UFFDIO_REGISTER, UFFDIO_COPY = 0xC018AA3F, 0xC020AA00, 0xC028AA03
UFFD_API, MODE_MISSING = 0xAA, 1

# Options whose value is copied under the lock, and refused afterwards for what is in it.
REFUSED = {socket.AF_INET: (socket.IPPROTO_IP, socket.IP_OPTIONS), socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS)}

libc = ctypes.CDLL(None, use_errno=True)


class Busy:
    """The socket is owned from here to release()."""

    def __init__(self, sock):
        self.fd = libc.syscall(SYS_USERFAULTFD, os.O_CLOEXEC | os.O_NONBLOCK)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "userfaultfd")
        defer(os.close, self.fd)
        self.pages = mmap.mmap(-1, 2 * PAGE)
        self.pages.write(b"\xff" * PAGE)
        self.second = ctypes.addressof(ctypes.c_char.from_buffer(self.pages)) + PAGE
        fcntl.ioctl(self.fd, UFFDIO_API, struct.pack("3Q", UFFD_API, 0, 0))
        fcntl.ioctl(self.fd, UFFDIO_REGISTER, struct.pack("4Q", self.second, PAGE, MODE_MISSING, 0))
        value = ctypes.c_void_p(self.second - 8)
        self.call = Background(libc.setsockopt, sock.fileno(), *REFUSED[sock.family], value, 16)
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        equal([event for _, event in poll.poll(10000)], [select.POLLIN], "page fault")

    def release(self):
        content = ctypes.create_string_buffer(b"\xff" * PAGE, PAGE)
        fcntl.ioctl(self.fd, UFFDIO_COPY, struct.pack("5Q", self.second, ctypes.addressof(content), PAGE, 0, 0))
        equal(self.call.join(), -1, "setsockopt()")
