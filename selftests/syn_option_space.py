#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The bytes of option space that each feature takes in a SYN and a SYN-ACK are those of the table in
Documentation/syn-option-space.rst, and ENO is there where the table says so, in four bytes more.
"""

import os
import socket

from lib import net, ulp
from lib.capture import segments
from lib.data import recv_exactly
from lib.harness import FAMILIES, check, defer, equal, main, skip, test, until
from lib.peerhost import accepted
from lib.tcp_auth import ao, md5
from peer import eno
from peer.tcp import ACK, OPT_MSS, OPT_TFO, SYN, pad

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../Documentation/syn-option-space.rst")
IPPROTO_MPTCP, OPT_MPTCP, MP_JOIN = 262, 30, 1
SPACE = 40


def table():
    """{features: (SYN, left, SYN-ACK, left, ENO)} of the page."""
    rows, rules = {}, 0
    with open(PAGE) as file:
        lines = file.readlines()
    for line in lines:
        if line.startswith("Features "):
            rules = 1
        elif rules and line.startswith("==="):
            rules += 1
        elif rules == 2:
            name, rest = line[:35].strip(), line[35:].split()
            rows[name] = tuple(map(int, rest[:4])) + (rest[4] == "yes",)
    return rows


class Case:
    """One connection with some features between the two namespaces."""

    def __init__(self, family, features):
        self.family, self.features = family, features
        self.pair = net.pair()
        usual = "usual" in features
        self.sysctl("tcp_timestamps", int(usual or "timestamps" in features))
        self.sysctl("tcp_sack", int(usual or "SACK" in features))
        self.sysctl("tcp_window_scaling", int(usual or "window scaling" in features))
        self.sysctl("tcp_ecn", 3 if "AccECN" in features else 2)
        self.sysctl("tcp_fastopen", 3)
        if "further subflow" in features:
            self.second_address()

    def sysctl(self, name, value):
        for ns in (self.pair.a, self.pair.b):
            defer(ns.sysctl, "ipv4." + name, ns.sysctl("ipv4." + name))
            ns.sysctl("ipv4." + name, value)

    def socket(self, side):
        protocol = IPPROTO_MPTCP if "MPTCP" in self.features else 0
        with getattr(self.pair, side):
            try:
                sock = socket.socket(net.AF[self.family], socket.SOCK_STREAM, protocol)
            except OSError as error:
                skip("socket: %s" % error)
        defer(sock.close)
        other = self.pair.address("b" if side == "a" else "a", self.family)
        if "TCP-MD5" in self.features:
            md5(sock, other)
        if "TCP-AO" in self.features:
            ao(sock, other)
        return sock

    def second_address(self):
        """a has another one, from which MPTCP opens a subflow of its own accord."""
        address, length = ("10.77.0.11", 24) if self.family == 4 else ("fd77::11", 64)
        nodad = [] if self.family == 4 else ["nodad"]
        for ns in (self.pair.a, self.pair.b):
            ns.run("ip mptcp limits set subflow 2 add_addr_accepted 2")
        self.pair.a.run(["ip", "addr", "add", "%s/%d" % (address, length), "dev", "veth0"] + nodad)
        defer(self.pair.a.run, "ip addr del %s/%d dev veth0" % (address, length))
        self.pair.a.run("ip mptcp endpoint add %s dev veth0 subflow" % address)
        defer(self.pair.a.run, "ip mptcp endpoint flush")

    def connection(self, listener, how):
        sock = self.socket("a")
        sock.bind((self.pair.address("a", self.family), 0))
        how(sock, listener.getsockname()[:2])
        other = accepted(listener)
        equal(recv_exactly(other, 5), b"hello")
        other.sendall(b"hello")
        equal(recv_exactly(sock, 5), b"hello")
        return sock

    def subflows(self, sock):
        return sock.getsockopt(284, 1, 64)[0]  # SOL_MPTCP, MPTCP_INFO: mptcpi_subflows

    def run(self):
        """(SYN, SYN-ACK) as they were on the link."""
        listener = self.socket("b")
        listener.bind((self.pair.address("b", self.family), 0))
        fast_open = [f for f in self.features if f.startswith("Fast Open")]
        if fast_open:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
        listener.listen()
        listener.settimeout(20)
        how = by_fast_open if fast_open else by_connect
        if fast_open == ["Fast Open cookie"]:
            self.connection(listener, how)
        elif fast_open:
            self.pair.a.run("ip tcp_metrics flush all")
        further = "further subflow" in self.features
        with segments(self.pair.a) as seen:
            sock = self.connection(listener, how)
            if further:
                until(lambda: self.subflows(sock) == 1, what="second subflow")
        syns = [s for s in seen(listener.getsockname()[1]) if s.has(SYN)]
        if further:
            syns = [s for s in syns if any(option[2] >> 4 == MP_JOIN for option in s.option(OPT_MPTCP))]
        equal([s.has(ACK) for s in syns[:2]], [False, True], "SYN and SYN-ACK")
        check(all(s.option(OPT_MSS) for s in syns), "options")
        if fast_open:
            equal(len(syns[0].option(OPT_TFO)[0]), 10 if fast_open == ["Fast Open cookie"] else 2, "Fast Open option")
        return syns[:2]


def by_connect(sock, address):
    sock.connect(address)
    sock.sendall(b"hello")


def by_fast_open(sock, address):
    sent = sock.sendto(b"hello", socket.MSG_FASTOPEN, address)
    sock.sendall(b"hello"[sent:])


@test(family=FAMILIES)
def resuming_a_session(family):
    """As many bytes more as the page says: the usual options just leave room for it, without their padding."""
    if ulp.PLAIN:
        return
    case = Case(family, ["usual"])
    ulp.enable(case.pair.a, case.pair.b)
    case.run()
    second = case.run()
    equal([len(s.option(eno.KIND)[0]) for s in second], [3 + 17, 4 + 17], "bytes of the option")
    equal([len(s.options) for s in second], [SPACE, SPACE], "bytes in SYN and SYN-ACK")


@test(family=FAMILIES, features=tuple(table()))
def bytes_of(family, features):
    syn, syn_left, synack, synack_left, takes_part = table()[features]
    equal((syn + syn_left, synack + synack_left), (SPACE, SPACE), "sums of the row")
    case = Case(family, features.split(", "))
    if not ulp.PLAIN:
        ulp.enable(case.pair.a, case.pair.b, connect=0, listen=0)
    equal(tuple(len(s.options) for s in case.run()), (syn, synack), "bytes in SYN and SYN-ACK")
    if ulp.PLAIN:
        return
    ulp.enable(case.pair.a, case.pair.b)
    # A session that is resumed takes as much as there is.
    case.sysctl("tcp_crypt.resume", 0)
    for segment, size, at_least in zip(case.run(), (syn, synack), (3, 4)):
        options = segment.option(eno.KIND)
        equal(len(options), int(takes_part), "ENO options")
        equal(len(segment.options), size + sum(len(pad(option)) for option in options), "bytes with ENO")
        check(all(len(option) >= at_least for option in options), "bytes of the ENO option")


@test
def every_feature_is_in_the_table():
    """So that a row is not lost from the page unnoticed."""
    features = {feature for row in table() for feature in row.split(", ")}
    for feature in ("usual", "AccECN", "MPTCP", "further subflow", "TCP-MD5", "TCP-AO", "Fast Open cookie request"):
        check(feature in features, feature)


if __name__ == "__main__":
    main()
