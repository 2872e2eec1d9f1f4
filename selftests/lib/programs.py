# SPDX-License-Identifier: GPL-2.0
"""Unmodified programs in a namespace: started, waited for until they listen, stopped at the end of the test."""

import os
import shutil
import subprocess
import tempfile

from .harness import defer, skip, until


def needs(*names):
    """The programs' paths, or the test is skipped."""
    paths = []
    for name in names:
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/bin")
        if not path:
            skip("no " + name)
        paths.append(path)
    return paths


def directory():
    path = tempfile.mkdtemp(prefix="tcs")
    os.chmod(path, 0o755)
    defer(shutil.rmtree, path, True)
    return path


def listens(ns, port):
    with ns:
        for name in ("tcp", "tcp6"):
            with open("/proc/thread-self/net/" + name) as file:
                for line in list(file)[1:]:
                    fields = line.split()
                    if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                        return True
    return False


def server(ns, arguments, port, **options):
    """Started, and listening on its port."""
    log = tempfile.TemporaryFile()
    child = ns.command(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)
    defer(stop, child)

    def ready():
        if child.poll() is not None:
            log.seek(0)
            raise AssertionError("%s ended: %s" % (arguments[0], log.read().decode(errors="replace")[-300:]))
        return listens(ns, port)

    until(ready, 40, "%s listening on %d" % (arguments[0], port))
    return child


def stop(child):
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def output(ns, arguments, timeout=90, data=None):
    """(status, stdout as bytes, stderr as text)"""
    child = ns.command(
        arguments,
        stdin=subprocess.PIPE if data is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        out, err = child.communicate(data, timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        out, err = child.communicate()
        raise AssertionError("%s hangs: %s" % (arguments[0], err.decode(errors="replace")[-300:])) from None
    return child.returncode, out, err.decode(errors="replace")
