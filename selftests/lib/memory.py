# SPDX-License-Identifier: GPL-2.0
"""How many objects the kernel has allocated, of the kinds that connections are made of."""

import glob
import os

from .harness import until

CACHES = (
    "request_sock_TCP* TCP TCPv6 tw_sock_TCP* skbuff_head_cache skbuff_small_head sock_inode_cache "
    "kmalloc-[0-9]* kmalloc-cg-*"
)


def objects():
    """{cache: objects in use}, after what processors hold back for themselves was given back."""
    found = {}
    for pattern in CACHES.split():
        for path in glob.glob("/sys/kernel/slab/" + pattern):
            with open(path + "/shrink", "w") as file:
                file.write("1")
            with open(path + "/objects") as file:
                found[os.path.basename(path)] = int(file.read().split()[0])
    return found


def sockets(ns):
    """{"inuse": 3, "orphan": 0, ...} of TCP; all but "inuse" and "tw" are of the whole machine."""
    with ns, open("/proc/thread-self/net/sockstat") as file:
        line = next(line for line in file if line.startswith("TCP:"))
    words = line.split()[1:]
    return dict(zip(words[::2], map(int, words[1::2])))


class Unchanged:
    """`with Unchanged(ns, slack=64): ...`: all that is allocated meanwhile is given back, but for 64 objects of a kind.

    Much is freed after a grace period of RCU or by a timer, so that it may take some seconds.
    """

    def __init__(self, ns, slack, timeout=30):
        self.ns, self.slack, self.timeout = ns, slack, timeout

    def _grown(self):
        now = objects()
        return {name: now[name] - count for name, count in self.before.items() if now[name] - count > self.slack}

    def __enter__(self):
        self.before, self.sockets = objects(), sockets(self.ns)
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            return
        for name in ("orphan", "inuse"):
            until(lambda: sockets(self.ns)[name] <= self.sockets[name], self.timeout, "%s sockets given back" % name)
        try:
            until(lambda: not self._grown(), self.timeout)
        except AssertionError:
            raise AssertionError("objects not given back within %d s: %s" % (self.timeout, self._grown())) from None
