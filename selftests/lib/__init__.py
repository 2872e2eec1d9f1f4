# SPDX-License-Identifier: GPL-2.0
"""What the selftests share.

    harness.py   tests, variants, TAP
    net.py       network namespaces, links, sysctls
    ulp.py       the module's interface: socket options, sysctls, counters
    pair.py      connected sockets, module to module
    capture.py   what is on the wire, and that the canary is not
    bridge.py    a middlebox between two namespaces
    data.py      test data with a canary, transfers compared by hash
    peerhost.py  the Python peer beside the kernel under test
    programs.py  unmodified programs, started in a namespace
    mutate.py    segments that no honest host would send
    memory.py    what the kernel has allocated, before and after
"""
