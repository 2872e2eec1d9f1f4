#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""TCP_ENO_MANDATORY at both ends, and a middlebox between them that takes the option from the SYN, the SYN-ACK, the
segments behind them or all: no end ever sends or reads a byte of plaintext.
"""

import errno
import select

from lib import ulp
from lib.bridge import blanked, middlebox, pass_on, without
from lib.capture import Capture
from lib.data import CANARY, payload, recv_exactly
from lib.harness import FAMILIES, check, defer, equal, main, test, until
from peer import eno
from peer.tcp import ACK, RST, SYN

STRIP = {"removed": without, "overwritten": blanked}
WHICH = {
    "syn": lambda segment: segment.flags & (SYN | ACK) == SYN,
    "synack": lambda segment: segment.has(SYN | ACK),
    "without syn": lambda segment: not segment.has(SYN),
    "all": lambda segment: True,
    "none": lambda segment: False,
}


def mandatory(sock):
    ulp.attach(sock)
    ulp.set_option(sock, ulp.TCP_ENO_MANDATORY, 1)


def opened(family, strip, which):
    """(client in connect(), listener, flags of what passed)"""
    box, flags = middlebox(), []
    defer(setattr, box, "rule", pass_on)
    defer(Capture(box.a, "veth0").verify, 2)  # a SYN and its refusal
    listener = box.b.socket(family)
    defer(listener.close)
    mandatory(listener)
    listener.bind((box.address("b", family), 0))
    listener.listen()
    listener.setblocking(False)
    port = listener.getsockname()[1]

    def rule(segment, to_b):
        if port not in (segment.sport, segment.dport):
            return [segment]
        flags.append(segment.flags)
        return [strip(segment, eno.KIND) if which(segment) else segment]

    box.rule = rule
    client = box.a.socket(family)
    defer(client.close)
    mandatory(client)
    client.setblocking(False)
    try:
        client.connect(listener.getsockname()[:2])
    except BlockingIOError:
        pass
    return client, listener, flags


@test(family=FAMILIES, how=tuple(STRIP), which=("syn", "synack", "without syn", "all"))
def stripped_option_aborts(family, how, which):
    client, listener, flags = opened(family, STRIP[how], WHICH[which])
    poll = select.poll()
    poll.register(client, select.POLLOUT)

    def failed():
        """Writes what it may, until there is an error."""
        poll.poll(100)
        try:
            client.send(payload(2000))
        except BlockingIOError:
            return False
        except OSError as error:
            return error.errno
        return False

    error = until(failed, 30, "error of the client")
    # Refused, if the listener saw that its mandatory encryption can't be had.
    check(error in (errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EPROTO), "error %d" % error)
    until(lambda: any(flag & RST for flag in flags), what="a reset on the wire")
    try:
        sock, _ = listener.accept()
    except BlockingIOError:
        return
    defer(sock.close)
    sock.settimeout(10)
    try:
        data = sock.recv(100)
    except OSError:
        return
    raise AssertionError("the server read %r" % data)


@test(family=FAMILIES)
def untouched_connection_is_encrypted(family):
    client, listener, _ = opened(family, without, WHICH["none"])
    client.settimeout(20)
    listener.settimeout(20)
    server, _ = listener.accept()
    defer(server.close)
    client.sendall(CANARY)
    equal(recv_exactly(server, len(CANARY)), CANARY)
    check(ulp.is_encrypted(client) and ulp.is_encrypted(server), "encrypted")


if __name__ == "__main__":
    main()
