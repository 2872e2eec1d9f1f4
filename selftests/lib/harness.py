# SPDX-License-Identifier: GPL-2.0
"""The harness of one test file: functions marked @test are its behaviours, printed as TAP version 13.

    @test(family=FAMILIES)
    def echoed_option_is_plain(family): ...

    if __name__ == "__main__":
        main()

A test passes when it returns, is skipped by skip("why") and fails by any other exception. Arguments of the program are
patterns: only tests whose name contains one of them run. Nothing here sleeps to wait: until() polls a condition.
"""

import itertools
import os
import signal
import sys
import threading
import time
import traceback

FAMILIES = (4, 6)
HEAVY = os.environ.get("TCPCRYPT_HEAVY") == "1"

_tests = []
_cleanups = []


class Skip(Exception):
    pass


class TestTimeout(BaseException):
    """The test took longer than it may."""


def skip(reason):
    raise Skip(reason)


def test(function=None, *, timeout=60, module=True, **axes):
    """Marks a test. axes: one argument each, every combination is a test. module=False: runs without tcpcrypt.ko."""

    def mark(fn):
        names = list(axes)
        for values in itertools.product(*axes.values()):
            arguments = dict(zip(names, values))
            label = fn.__name__
            if arguments:
                label += " [" + ", ".join("%s=%s" % (k, _label(v)) for k, v in arguments.items()) + "]"
            _tests.append((label, fn, arguments, timeout, module))
        return fn

    return mark(function) if function else mark


def _label(value):
    if isinstance(value, bytes):
        return value.hex() or "none"
    if isinstance(value, (tuple, list)):
        return "/".join(_label(item) for item in value)
    return str(getattr(value, "__name__", value)).replace("#", "_")


def defer(function, *arguments):
    """Called at the end of the test, last one first."""
    _cleanups.append((function, arguments))


def until(condition, timeout=10, what="condition"):
    """Waits for a condition and returns its value."""
    deadline = time.monotonic() + timeout
    pause = 0.001
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("%s not seen within %s s (last: %r)" % (what, timeout, value))
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


class Background:
    """A function in a thread; join() returns its value or raises its exception."""

    def __init__(self, function, *arguments):
        self._result = self._error = None
        self._thread = threading.Thread(target=self._run, args=(function, arguments), daemon=True)
        self._thread.start()

    def _run(self, function, arguments):
        try:
            self._result = function(*arguments)
        except BaseException as error:  # handed to join()
            self._error = error

    def running(self):
        return self._thread.is_alive()

    def in_system_call(self):
        """It sleeps in the kernel, and not for a lock of the interpreter (futex, 202)."""
        try:
            with open("/proc/self/task/%d/syscall" % self._thread.native_id) as file:
                return file.read().split()[0] not in ("running", "202")
        except OSError:
            return False

    def join(self, timeout=30):
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise AssertionError("still running after %s s" % timeout)
        if self._error is not None:
            raise self._error
        return self._result


def equal(seen, expected, what="value"):
    if seen != expected:
        raise AssertionError("%s: %s, expected %s" % (what, _short(seen), _short(expected)))


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def raises(errno_value, function, *arguments):
    """The call fails with exactly this errno."""
    try:
        value = function(*arguments)
    except OSError as error:
        equal(error.errno, errno_value, "errno")
        return
    raise AssertionError("no error but %s" % _short(value))


def _short(value):
    text = repr(value)
    return text if len(text) < 200 else text[:200] + "... (%d)" % len(value)


def _undo():
    problems = []
    while _cleanups:
        function, arguments = _cleanups.pop()
        try:
            function(*arguments)
        except Exception as error:
            problems.append(_diagnosis(error))
    if problems:
        raise AssertionError("cleaning up:\n" + "\n".join(problems))


def _diagnosis(error):
    """The error, and where it came from in the test and what the test called."""
    lines = ["%s: %s" % (type(error).__name__, error)]
    for frame in traceback.extract_tb(error.__traceback__)[1:]:
        lines.append("  %s:%d %s: %s" % (os.path.basename(frame.filename), frame.lineno, frame.name, frame.line))
    return "\n".join(lines)


def _on_alarm(*_):
    raise TestTimeout()


def _run_one(function, arguments, timeout):
    """(ok, directive, diagnosis)"""
    signal.signal(signal.SIGALRM, _on_alarm)
    signal.alarm(timeout)
    outcome = (True, "", "")
    try:
        function(**arguments)
    except Skip as reason:
        outcome = (True, " # SKIP %s" % reason, "")
    except (TestTimeout, Exception) as error:
        outcome = (False, "", _diagnosis(error))
    finally:
        signal.alarm(0)
    try:
        _undo()
    except AssertionError as error:
        if outcome[0]:
            outcome = (False, "", str(error))
    return outcome


def main():
    from . import net, ulp

    patterns = sys.argv[1:]
    wanted = [t for t in _tests if not patterns or any(p in t[0] for p in patterns)]
    loaded = ulp.loaded()
    print("TAP version 13")
    print("1..%d" % len(wanted), flush=True)
    failed = 0
    for number, (label, function, arguments, timeout, needs_module) in enumerate(wanted, 1):
        start = time.monotonic()
        if needs_module and not (loaded or ulp.PLAIN):
            ok, directive, diagnosis = True, " # SKIP tcpcrypt is not loaded", ""
        else:
            ok, directive, diagnosis = _run_one(function, arguments, timeout)
        failed += not ok
        for line in diagnosis.splitlines():
            print("# " + line)
        if time.monotonic() - start > 10:
            print("# took %.0f s" % (time.monotonic() - start))
        print("%sok %d - %s%s" % ("" if ok else "not ", number, label, directive), flush=True)
    net.remove_all()
    # Threads that a failed test left behind must not keep the process.
    sys.stdout.flush()
    os._exit(1 if failed else 0)
