# SPDX-License-Identifier: GPL-2.0
"""An independent implementation of TCP-ENO (RFC 8547) and tcpcrypt (RFC 8548), written from the text of the RFCs.

It shares nothing with the kernel module, so that an error made on both sides of the module cannot hide. It is also
more pliable than any honest host: each step of the protocol can be done wrongly on purpose.

    tun.py    a host of its own behind a TUN device
    tcp.py    segments, checksums, options, one connection
    eno.py    RFC 8547: the option and the negotiation
    crypt.py  RFC 8548: key schedule, Init1 and Init2, frames
    peer.py   the two roles, put together for the tests
"""
