# SPDX-License-Identifier: GPL-2.0
"""Keys for signed TCP: the MD5 signature option (RFC 2385) and the authentication option (RFC 5925), by setsockopt()."""

import errno
import socket
import struct

from .harness import skip

TCP_MD5SIG, TCP_AO_ADD_KEY = 14, 38
OPT_MD5, OPT_AO = 19, 29


def _storage(address):
    """A struct sockaddr_storage of any port."""
    if ":" in address:
        head = struct.pack("=HHI", socket.AF_INET6, 0, 0) + socket.inet_pton(socket.AF_INET6, address)
    else:
        head = struct.pack("=HH", socket.AF_INET, 0) + socket.inet_aton(address)
    return head.ljust(128, b"\0")


def _set(sock, name, value):
    try:
        sock.setsockopt(socket.IPPROTO_TCP, name, value)
    except OSError as error:
        if error.errno in (errno.ENOPROTOOPT, errno.ENOENT):
            skip("the kernel cannot: %s" % error)
        raise


def md5(sock, address, key=b"secret"):
    """Segments from and to this address are signed. No key: not any more."""
    _set(sock, TCP_MD5SIG, _storage(address) + struct.pack("=BBHI80s", 0, 0, len(key), 0, key))


def ao(sock, address, key=b"secret"):
    """As md5(), with HMAC-SHA1-96 and both key IDs 100."""
    value = _storage(address) + struct.pack("=64siIH", b"hmac(sha1)", 0, 0, 0)
    prefix = 128 if ":" in address else 32
    value += struct.pack("=BBBBBB80s", prefix, 100, 100, 0, 0, len(key), key)
    _set(sock, TCP_AO_ADD_KEY, value)


SIGN = {"md5": md5, "ao": ao}
KIND = {"md5": OPT_MD5, "ao": OPT_AO}
