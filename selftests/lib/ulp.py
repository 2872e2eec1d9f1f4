# SPDX-License-Identifier: GPL-2.0
"""The module as a user sees it: socket options (include/uapi/linux/tcp_eno.h), sysctls, counters."""

import ctypes
import os
import socket
import struct

TCP_ULP = 31

TCP_ENO_ENABLED = 6900
TCP_ENO_SESSID = 6901
TCP_ENO_NEGTEP = 6902
TCP_ENO_TEPS = 6903
TCP_ENO_SELF_AWARE = 6904
TCP_ENO_PEER_AWARE = 6905
TCP_ENO_ROLEOVERRIDE = 6906
TCP_ENO_ROLE = 6907
TCP_ENO_SELF_GOPT = 6908
TCP_ENO_PEER_GOPT = 6909
TCP_ENO_RAW = 6910
TCP_ENO_TRANSCRIPT = 6911
TCP_ENO_MANDATORY = 6912
TCP_CRYPT_CONF = 6920
TCP_CRYPT_REKEY = 6928
TCP_CRYPT_ACONF = 6921
TCP_CRYPT_BCONF = 6922
TCP_CRYPT_RESUMED = 6923
TCP_CRYPT_NORESUME = 6924
TCP_CRYPT_NOCACHE = 6925
TCP_CRYPT_CACHE_FLUSH = 6926
TCP_CRYPT_RESUME_NONCE_LEN = 6927

TEP = 0x23
ROLE_A, ROLE_B = 0, 1

AEADS = {"aes128-gcm": 0x0001, "aes256-gcm": 0x0002, "chacha20-poly1305": 0x0010}
ALL_AEADS = " ".join(AEADS)


# TCPCRYPT_PLAIN=1: the tests of the socket interface run on plain TCP, which shows that they ask for what TCP does.
PLAIN = os.environ.get("TCPCRYPT_PLAIN") == "1"


def loaded():
    return os.path.isdir("/proc/sys/net/ipv4/tcp_eno")


def enable(*namespaces, connect=1, listen=1):
    """And what fails in one test is no reason to try no more in the next."""
    for ns in () if PLAIN else namespaces:
        ns.sysctl("ipv4.tcp_eno.failure_lifetime", 0)
        ns.sysctl("ipv4.tcp_eno.enable_connect", connect)
        ns.sysctl("ipv4.tcp_eno.enable_listen", listen)


def set_aead(ns, names=ALL_AEADS):
    """Offered as role A, and accepted as role B."""
    ns.sysctl("ipv4.tcp_crypt.aconf", names)
    ns.sysctl("ipv4.tcp_crypt.bconf", names)


def attach(sock):
    """Asks for the ULP, as a program would that knows of it."""
    sock.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tcpcrypt")


def option(sock, name):
    return struct.unpack("i", sock.getsockopt(socket.IPPROTO_TCP, name, 4))[0]


def set_option(sock, name, value):
    sock.setsockopt(socket.IPPROTO_TCP, name, value)


def generations(sock):
    """The local and the remote one."""
    return struct.unpack("ii", sock.getsockopt(socket.IPPROTO_TCP, TCP_CRYPT_REKEY, 8))


def session_id(sock):
    return sock.getsockopt(socket.IPPROTO_TCP, TCP_ENO_SESSID, 256)


def transcript(sock):
    return sock.getsockopt(socket.IPPROTO_TCP, TCP_ENO_TRANSCRIPT, 256)


def ulp_name(sock):
    """b"" on plain TCP."""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, TCP_ULP, 16).rstrip(b"\0")
    except OSError:
        return b""


def is_encrypted(sock):
    try:
        return len(session_id(sock)) == 33
    except OSError:
        return False


def counters(ns):
    with ns:
        with open("/proc/thread-self/net/tcp_crypt_stat") as file:
            return {name: int(value) for name, value in (line.split() for line in file)}


class Counting:
    """`with Counting(ns) as c: ...` and then c("FallbackNoTep") is by how much it grew."""

    def __init__(self, ns):
        self.ns = ns

    def __enter__(self):
        self.before = counters(self.ns)
        return self

    def __exit__(self, *_):
        pass

    def __call__(self, name):
        now = counters(self.ns)
        if name not in now:
            raise AssertionError("no counter %s" % name)
        return now[name] - self.before[name]

    def grown(self):
        """All that changed, for a message."""
        now = counters(self.ns)
        return {k: v - self.before.get(k, 0) for k, v in now.items() if v != self.before.get(k, 0)}


def disconnect(sock):
    """connect(AF_UNSPEC); the errno or 0."""
    libc = ctypes.CDLL(None, use_errno=True)
    address = struct.pack("H14x", socket.AF_UNSPEC)
    return ctypes.get_errno() if libc.connect(sock.fileno(), address, len(address)) else 0
