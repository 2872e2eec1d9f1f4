#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Routers on the way: firewalls with connection tracking, masquerade, destination NAT, synproxy, transparent proxies. ENO
goes through those that only change addresses; where a box answers in the server's stead the connection is plain.

    a (veth0) ---- ra [ router ] rb ---- (veth0) b       a: 10.81.1.2, fd81:1::2     b: 10.81.2.2, fd81:2::2
"""

import functools
import socket

from lib import net, ulp
from lib.capture import segments
from lib.data import payload, recv_all, recv_exactly
from lib.harness import FAMILIES, Background, check, defer, equal, main, skip, test
from lib.pair import encrypted
from lib.peerhost import accepted
from peer import eno
from peer.tcp import ACK, SYN

IP_TRANSPARENT, IPV6_TRANSPARENT = 19, 75
PORT = 7000


def address(side, family):
    """Of a or b, or of the router's ends beside them: ra, rb."""
    network, host = {"a": (1, 2), "ra": (1, 1), "b": (2, 2), "rb": (2, 1)}[side]
    return "10.81.%d.%d" % (network, host) if family == 4 else "fd81:%d::%d" % (network, host)


class Routed:
    def __init__(self):
        self.a, self.b, self.router = net.Netns("a"), net.Netns("b"), net.Netns("r")
        for side in ("a", "b"):
            host = getattr(self, side)
            net.run("ip link add veth0 netns %s type veth peer name r%s netns %s" % (host.name, side, self.router.name))
            for ns, device, owner in ((host, "veth0", side), (self.router, "r" + side, "r" + side)):
                with ns:
                    net.ip_batch(
                        "link set %s up" % device,
                        "addr add %s/24 dev %s" % (address(owner, 4), device),
                        "addr add %s/64 dev %s nodad" % (address(owner, 6), device),
                    )
            with host:
                net.ip_batch(
                    "route add default via %s" % address("r" + side, 4),
                    "route add default via %s" % address("r" + side, 6),
                )
        self.router.sysctl("ipv4.ip_forward", 1)
        self.router.sysctl("ipv6.conf.all.forwarding", 1)
        ulp.enable(self.a, self.b)

    def nft(self, rules, ns=None):
        """Rules of a table `inet t`, in the router or elsewhere, until the end of the test."""
        ns = ns or self.router
        text = "table inet t {\n%s\n}\n" % rules
        defer(ns.run, "nft flush ruleset")
        try:
            ns.run(["nft", "-f", "-"], input=text)
        except FileNotFoundError:
            skip("no nft")

    def listener(self, family, ns=None, where="b", port=PORT, setup=None):
        sock = (ns or self.b).socket(family)
        defer(sock.close)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if setup:
            setup(sock)
        sock.bind((address(where, family), port))
        sock.listen()
        sock.settimeout(20)
        return sock

    def connect(self, family, to="b", port=PORT):
        sock = self.a.socket(family)
        defer(sock.close)
        sock.settimeout(20)
        sock.connect((address(to, family), port))
        return sock


@functools.cache
def routed():
    return Routed()


def both_ways(one, two):
    data = payload(150000)
    for source, target in ((one, two), (two, one)):
        writer = Background(source.sendall, data)
        check(recv_exactly(target, len(data)) == data, "data")
        writer.join()
    one.shutdown(socket.SHUT_WR)
    equal(recv_all(two), b"")
    two.close()
    equal(recv_all(one), b"")


def is_encrypted_and_works(client, server):
    encrypted(client, server)
    if not ulp.PLAIN:
        equal(ulp.session_id(client), ulp.session_id(server), "session IDs")
    both_ways(client, server)


def is_plain_and_works(client, server):
    check(not ulp.is_encrypted(client) and not ulp.is_encrypted(server), "plain")
    equal([ulp.ulp_name(client), ulp.ulp_name(server)], [b"", b""], "ULP")
    both_ways(client, server)


FIREWALLS = {
    "none": "",
    # Connection tracking judges sequence numbers and windows: nothing that the module changed may look wrong
    "stateful": """
        chain c { type filter hook %s priority 0; policy drop;
            ct state invalid counter drop
            ct state established,related accept
            ct state new tcp dport 7000 accept
            meta l4proto icmpv6 accept
        }""",
    "mss_clamped": """
        chain c { type filter hook %s priority 0;
            tcp flags syn tcp option maxseg size set 1000
        }""",
    "limited_to_known_flags": """
        chain c { type filter hook %s priority 0;
            tcp flags & (fin|syn) == (fin|syn) drop
            tcp flags & (syn|rst) == (syn|rst) drop
            tcp dport 7000 ct state new tcp flags & (fin|syn|rst|ack) != syn drop
        }""",
}


@test(family=FAMILIES, firewall=tuple(FIREWALLS))
def forwarded(family, firewall):
    r = routed()
    if FIREWALLS[firewall]:
        r.nft(FIREWALLS[firewall] % "forward")
    listener = r.listener(family)
    client = r.connect(family)
    is_encrypted_and_works(client, accepted(listener))


@test(family=FAMILIES, side=("a", "b"), hook=("input", "output"))
def stateful_firewall_on_the_host_itself(family, side, hook):
    r = routed()
    r.nft(
        """
        chain c { type filter hook %s priority 0; policy drop;
            ct state established,related accept
            ct state invalid counter drop
            ct state new tcp dport 7000 accept
            meta l4proto icmpv6 accept
        }"""
        % hook,
        getattr(r, side),
    )
    listener = r.listener(family)
    client = r.connect(family)
    is_encrypted_and_works(client, accepted(listener))


@test(family=FAMILIES)
def masquerade(family):
    r = routed()
    r.nft('chain c { type nat hook postrouting priority srcnat; oifname "rb" masquerade random; }')
    listener = r.listener(family)
    client = r.connect(family)
    server = accepted(listener)
    equal(server.getpeername()[0], address("rb", family), "the client's address as the server sees it")
    is_encrypted_and_works(client, server)


@test(family=FAMILIES)
def destination_nat(family):
    r = routed()
    to = "dnat ip to 10.81.2.2:7000" if family == 4 else "dnat ip6 to [fd81:2::2]:7000"
    r.nft("chain c { type nat hook prerouting priority dstnat; tcp dport 7070 %s; }" % to)
    listener = r.listener(family)
    client = r.connect(family, "ra", 7070)
    is_encrypted_and_works(client, accepted(listener))


@test(family=FAMILIES)
def destination_nat_on_the_client(family):
    """The SYN has its option before its destination is changed."""
    r = routed()
    to = "dnat ip to 10.81.2.2:7000" if family == 4 else "dnat ip6 to [fd81:2::2]:7000"
    r.nft("chain c { type nat hook output priority dstnat; tcp dport 7070 %s; }" % to, r.a)
    listener = r.listener(family)
    client = r.connect(family, "ra", 7070)
    is_encrypted_and_works(client, accepted(listener))


@test(family=FAMILIES)
def redirect_on_the_server(family):
    """The listener has another port than the one that the SYN was sent to."""
    r = routed()
    r.nft("chain c { type nat hook prerouting priority dstnat; tcp dport 7070 redirect to :7000; }", r.b)
    listener = r.listener(family)
    client = r.connect(family, port=7070)
    is_encrypted_and_works(client, accepted(listener))


@test(family=FAMILIES)
def flow_offload(family):
    """Established connections go past most of the router."""
    r = routed()
    try:
        r.nft(
            """
            flowtable f { hook ingress priority 0; devices = { ra, rb }; }
            chain c { type filter hook forward priority 0; tcp dport 7000 flow add @f
        }"""
        )
    except AssertionError as error:
        skip("no flowtable: %s" % error)
    listener = r.listener(family)
    client = r.connect(family)
    is_encrypted_and_works(client, accepted(listener))


@test(family=FAMILIES)
def synproxy(family):
    """The router answers the SYN with a cookie of its own, and knows no ENO."""
    r = routed()
    defer(r.router.sysctl, "netfilter.nf_conntrack_tcp_loose", 1)
    r.nft(
        """
        chain early { type filter hook prerouting priority raw; iifname "ra" tcp dport 7000 tcp flags syn notrack
        }
        chain c { type filter hook forward priority 0;
            tcp dport 7000 ct state invalid,untracked synproxy mss 1400 wscale 7 timestamp sack-perm
            ct state invalid drop
        }"""
    )
    r.router.sysctl("netfilter.nf_conntrack_tcp_loose", 0)
    listener = r.listener(family)
    with segments(r.a) as seen:
        client = r.connect(family)
        server = accepted(listener)
    handshake = [s for s in seen(PORT) if s.has(SYN)][:2]
    equal([s.has(ACK) for s in handshake], [False, True], "SYN and SYN-ACK")
    if not ulp.PLAIN:
        equal([len(s.option(eno.KIND)) for s in handshake], [1, 0], "offer, answer")
    is_plain_and_works(client, server)


def transparent(sock):
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)


def relay(one, two):
    """What comes on one goes out on the other, and so does the end."""
    while data := one.recv(65536):
        two.sendall(data)
    two.shutdown(socket.SHUT_WR)


@test(family=FAMILIES, eno_on_the_proxy=(True, False))
def transparent_proxy(family, eno_on_the_proxy):
    """The proxy takes a's connection to b, and opens one to b with a's address: two connections, each encrypted or not."""
    r = routed()
    ulp.enable(r.router, connect=int(eno_on_the_proxy), listen=int(eno_on_the_proxy))
    defer(functools.partial(ulp.enable, connect=0, listen=0), r.router)
    version, everything = ("-6", "::/0") if family == 6 else ("-4", "0.0.0.0/0")
    for kind, what in (("rule", "fwmark 1 lookup 100"), ("route", "local %s dev lo table 100" % everything)):
        r.router.run("ip %s %s add %s" % (version, kind, what))
        defer(r.router.run, "ip %s %s del %s" % (version, kind, what))
    to = "tproxy %s to :7001" % ("ip6" if family == 6 else "ip")
    r.nft(
        """
        chain c { type filter hook prerouting priority mangle;
            meta l4proto tcp socket transparent 1 meta mark set 1 accept
            iifname "ra" meta nfproto %s tcp dport 7000 %s meta mark set 1 accept
        }"""
        % ("ipv6" if family == 6 else "ipv4", to)
    )
    listener = r.listener(family)
    proxy = r.router.socket(family)
    defer(proxy.close)
    transparent(proxy)
    proxy.bind(("::" if family == 6 else "0.0.0.0", 7001))
    proxy.listen()
    proxy.settimeout(20)
    client = r.connect(family)
    inside = accepted(proxy)
    equal(inside.getsockname()[:2], (address("b", family), PORT), "the destination as the proxy sees it")
    outside = r.router.socket(family)
    defer(outside.close)
    transparent(outside)
    outside.bind(client.getsockname()[:2])
    outside.settimeout(20)
    outside.connect(inside.getsockname()[:2])
    server = accepted(listener)
    equal(server.getpeername()[:2], client.getsockname()[:2], "the client as the server sees it")
    relays = [Background(relay, inside, outside), Background(relay, outside, inside)]
    if eno_on_the_proxy:
        encrypted(client, inside, outside, server)
        if not ulp.PLAIN:
            equal(ulp.session_id(client), ulp.session_id(inside))
            equal(ulp.session_id(outside), ulp.session_id(server))
        both_ways(client, server)
    else:
        is_plain_and_works(client, server)
    for one in relays:
        one.join()


if __name__ == "__main__":
    main()
