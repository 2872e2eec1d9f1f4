#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What TCP_ULP and the socket options do, the sysctls, and what ss sees. (The options one by one: sockopts_values.py,
sockopts_states.py, sockopts_listener.py.)"""

import errno
import socket
import struct

from lib import net, ulp
from lib.data import recv_exactly
from lib.harness import FAMILIES, check, defer, equal, main, raises, test, until
from lib.pair import Place, encrypted, joined
from lib.peerhost import accepted, connected, host
from peer import eno


def get(sock, option):
    return sock.getsockopt(socket.IPPROTO_TCP, option, 256)


def put(sock, option, value):
    sock.setsockopt(socket.IPPROTO_TCP, option, value)


def fresh(family=4):
    sock = net.pair().a.socket(family)
    defer(sock.close)
    return sock


@test(value=(0, 1, -1), sysctl=(0, 1))
def enabled_decides_about_the_syn(value, sysctl):
    ns = host().ns
    defer(ulp.enable, ns)
    ulp.enable(ns, connect=sysctl, listen=sysctl)

    def setup(sock):
        ulp.attach(sock)
        put(sock, ulp.TCP_ENO_ENABLED, value)

    _, peer = host().connect(4, setup)
    offered = bool(peer.wait_syn().option(eno.KIND))
    equal(offered, value == 1 or (value == -1 and sysctl == 1), "option in the SYN")
    active = host().peer_connect(host().listener(4, setup), 4)
    active.send_syn()
    answered = bool(active.wait_synack().option(eno.KIND))
    equal(answered, value == 1 or (value == -1 and sysctl == 1), "option in the SYN-ACK")


@test
def excluded_port_and_explicit_ulp():
    """A program that asks for the ULP gets it on any port."""
    _, peer = host().connect(4, ulp.attach, port=443)
    equal(peer.wait_syn().option(eno.KIND), [eno.syn_option(0x23)])


@test
def attach_is_too_late_once_connected():
    pair = net.pair()
    ulp.enable(pair.a, pair.b, connect=0, listen=0)
    defer(ulp.enable, pair.a, pair.b)
    listener = pair.listener()
    defer(listener.close)
    sock = fresh()
    sock.connect(listener.getsockname())
    other = accepted(listener)
    for end in (sock, other):
        try:
            ulp.attach(end)
        except OSError as error:
            check(error.errno in (errno.EISCONN, errno.EINVAL, errno.ENOTCONN), str(error))
        else:
            raise AssertionError("attached")
    sock.sendall(b"plain")
    equal(recv_exactly(other, 5), b"plain")


@test
def attach_twice():
    sock = fresh()
    ulp.attach(sock)
    raises(errno.EEXIST, ulp.attach, sock)


@test(family=FAMILIES)
def during_the_key_exchange(family):
    sock, peer = host().connect(family)
    peer.handshake()
    connected(sock)
    raises(errno.ENOTCONN, get, sock, ulp.TCP_ENO_SESSID)
    raises(errno.ENOTCONN, get, sock, ulp.TCP_CRYPT_CONF)
    equal(ulp.ulp_name(sock), b"tcpcrypt")


@test
def lengths_of_the_caller_are_respected():
    a, b = joined()
    identifier = ulp.session_id(a)
    equal((len(identifier), identifier[0]), (33, 0x23), "session ID")
    raises(errno.EINVAL, a.getsockopt, socket.IPPROTO_TCP, ulp.TCP_ENO_SESSID, 32)
    equal(a.getsockopt(socket.IPPROTO_TCP, ulp.TCP_ENO_SESSID, 33), identifier)
    equal(ulp.transcript(a), bytes([69, 3, 0x23, 69, 4, 1, 0x23]), "transcript")
    equal(ulp.transcript(b), ulp.transcript(a))
    equal((ulp.option(a, ulp.TCP_ENO_ROLE), ulp.option(b, ulp.TCP_ENO_ROLE)), (0, 1), "roles")


@test(aead=tuple(ulp.AEADS))
def crypt_conf_on_both_sides(aead):
    pair = net.pair()
    # A session that is resumed has the AEAD that it had.
    defer(pair.a.sysctl, "ipv4.tcp_crypt.resume", 1)
    pair.a.sysctl("ipv4.tcp_crypt.resume", 0)
    defer(ulp.set_aead, pair.a)
    defer(ulp.set_aead, pair.b)
    ulp.set_aead(pair.a, ulp.ALL_AEADS)
    ulp.set_aead(pair.b, aead)
    a, b = joined()
    equal([ulp.option(s, ulp.TCP_CRYPT_CONF) for s in (a, b)], [ulp.AEADS[aead]] * 2)


@test
def after_the_end_of_the_connection():
    """The session ID stays readable as long as the program has the socket, or is refused; it never changes."""
    a, b = joined()
    identifier = ulp.session_id(a)
    b.close()
    equal(a.recv(1), b"")
    try:
        equal(ulp.session_id(a), identifier)
    except OSError as error:
        check(error.errno in (errno.ENOTCONN, errno.EINVAL), str(error))


@test
def children_inherit_from_the_listener():
    def setup(sock):
        ulp.attach(sock)
        put(sock, ulp.TCP_ENO_ENABLED, 1)

    ns = host().ns
    defer(ulp.enable, ns)
    ulp.enable(ns, connect=0, listen=0)
    sock, peer = host().opened(4, False, setup)
    equal(ulp.session_id(sock), peer.secrets.session_id)


@test
def unaware_program_can_set_its_own_ulp_before_connect():
    """On a namespace with the defaults on, a socket with another ULP is not touched, nor is one that was off."""
    sock, peer = host().connect(4, lambda s: (ulp.attach(s), put(s, ulp.TCP_ENO_ENABLED, 0)))
    equal(peer.wait_syn().option(eno.KIND), [])
    peer.send_synack(option=None)
    connected(sock)
    sock.sendall(b"plain")
    equal(peer.tcp.read(5), b"plain")
    check(not ulp.is_encrypted(sock), "plain")


@test
def sysctls_refuse_nonsense():
    ns = net.pair().a
    for name, wrong in (
        ("ipv4.tcp_eno.enable_connect", "2"),
        ("ipv4.tcp_eno.enable_listen", "-1"),
        ("ipv4.tcp_crypt.aconf", "aes128-gcm rot13"),
        ("ipv4.tcp_crypt.bconf", "null"),
        ("ipv4.tcp_eno.exclude_local_ports", "70000"),
        ("ipv4.tcp_eno.exclude_remote_ports", "9-"),
    ):
        before = ns.sysctl(name)
        try:
            ns.sysctl(name, wrong)
        except OSError as error:
            equal(error.errno, errno.EINVAL, name)
        else:
            raise AssertionError("%s took %r and is %r" % (name, wrong, ns.sysctl(name)))
        equal(ns.sysctl(name), before, name)


@test
def sysctls_belong_to_their_namespace():
    one, two = net.Netns("x"), net.Netns("y")
    defer(one.remove)
    defer(two.remove)
    for name in ("enable_connect", "enable_listen"):
        equal((one.sysctl("ipv4.tcp_eno." + name), two.sysctl("ipv4.tcp_eno." + name)), ("0", "0"), "at first")
    ulp.enable(one)
    equal(two.sysctl("ipv4.tcp_eno.enable_connect"), "0")
    one.sysctl("ipv4.tcp_crypt.aconf", "aes256-gcm")
    equal(two.sysctl("ipv4.tcp_crypt.aconf"), ulp.ALL_AEADS, "default")
    check("443" in two.sysctl("ipv4.tcp_eno.exclude_remote_ports"), "default ports")


@test
def ss_shows_the_ulp():
    place = Place("veth4")
    listener = place.listener()
    sock = place.connect(listener)
    other = accepted(listener)
    encrypted(sock, other)
    for ns in (place.client, place.server):
        lines = ns.run("ss -Htie state established")
        check("tcp-ulp-tcpcrypt" in lines, lines)


@test
def inet_diag_reports_the_session():
    """Attribute 69 in the ULP information: TEP, role, AEAD, session ID, state (what scripts/eno-ss prints)."""
    place = Place("veth4")
    listener = place.listener()
    sock = place.connect(listener)
    other = accepted(listener)
    encrypted(sock, other)
    for end, ns, role in ((sock, place.client, 0), (other, place.server, 1)):
        found = diag(ns, end.getsockname()[1], end.getpeername()[1])
        equal(found[1], bytes([0x23]), "TEP")
        equal(found[2], bytes([role]), "role")
        equal(struct.unpack("H", found[3])[0], ulp.option(end, ulp.TCP_CRYPT_CONF), "AEAD")
        equal(found[4], ulp.session_id(end), "session ID")
        equal(found[5], bytes([3]), "state")


def attributes(data):
    found, at = {}, 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("HH", data, at)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def diag(ns, sport, dport):
    """The ULP attributes of one TCP socket by NETLINK_SOCK_DIAG."""
    with ns:
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)
    inet_diag_ulp_info, ulp_name, eno = 19, 1, 69
    extensions = 1 << 1  # INET_DIAG_INFO, with which the ULP comes
    body = struct.pack("BBBxI", socket.AF_INET, socket.IPPROTO_TCP, extensions, 1 << 1) + bytes(48)
    netlink.send(struct.pack("IHHII", 16 + len(body), 20, 0x301, 1, 0) + body)
    netlink.settimeout(5)
    with netlink:
        while True:
            data, at = netlink.recv(1 << 17), 0
            while at < len(data):
                length, kind = struct.unpack_from("IH", data, at)
                if kind == 3:
                    raise AssertionError("socket not found")
                message = data[at + 16 : at + length]
                if struct.unpack_from("!HH", message, 4) == (sport, dport):
                    info = attributes(attributes(message[72:]).get(inet_diag_ulp_info, b""))
                    equal(info.get(ulp_name), b"tcpcrypt\0", "name")
                    return attributes(info.get(eno, b""))
                at += (length + 3) & ~3


@test
def counters_are_names_and_values():
    names = set(ulp.counters(net.pair().a))
    wanted = (
        "ActiveOffered PassiveOffered ActiveEncrypted PassiveEncrypted FallbackNoOption FallbackMalformed FallbackNoTep "
        "FallbackRole FallbackDuplicate FallbackNoSpace FallbackNoAck FallbackNoEntropy FallbackNoMemory HandshakeFailed "
        "FrameAuthFailed Truncated PlaintextBlocked Established FramesTx FramesRx BytesTx BytesRx"
    )
    equal(set(wanted.split()) - names, set(), "missing")


@test
def traffic_is_counted_in_plaintext_bytes():
    pair = net.pair()
    with ulp.Counting(pair.a) as count:
        a, b = joined()
        a.sendall(bytes(10000))
        recv_exactly(b, 10000)
        b.sendall(bytes(300))
        recv_exactly(a, 300)
        until(lambda: count("BytesTx") == 10000 and count("BytesRx") == 300, what="bytes %s" % count.grown())
        check(count("FramesTx") >= 1 and count("FramesRx") >= 1, "frames")
        equal(count("PlaintextBlocked"), 0, "blocked")


if __name__ == "__main__":
    main()
