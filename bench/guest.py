# SPDX-License-Identifier: GPL-2.0
"""Runs the plan in the machine; scripts/bench starts it there.

    guest.py DIRECTORY [--time] [--only REGEX]

DIRECTORY holds tcpbench. Writes one JSON object per line: {"row", "test", "samples", "unit", "idle"} or {"row", "test",
"failed"}, {"row", "slab", "bytes"} for what grew with idle connections; first of all {"kernel"}."""

import json
import os
import re
import subprocess
import sys

import plan

# Nothing takes this long; it ends what hangs.
TIMEOUT = 900


def say(**line: object) -> None:
    print(json.dumps(line), flush=True)


class Module:
    """tcpcrypt.ko, brought to the state that a phase wants."""

    def __init__(self) -> None:
        self.path = os.environ.get("TCPCRYPT_KO", "")

    def loaded(self) -> bool:
        with open("/proc/modules") as f:
            return any(line.split()[0] == "tcpcrypt" for line in f)

    def bring(self, state: str) -> str:
        """Why the state cannot be had, or nothing."""
        if (state != "absent") == self.loaded():
            return ""
        if state == "absent":
            done = subprocess.run(["rmmod", "tcpcrypt"], capture_output=True, text=True)
            return f"the module does not unload: {done.stderr.strip()}" if done.returncode else ""
        if not os.path.exists(self.path):
            return "module not built"
        depends = subprocess.run(["modinfo", "-F", "depends", self.path], capture_output=True, text=True).stdout
        for name in depends.strip().split(","):
            if name:
                subprocess.run(["modprobe", name], check=False)
        done = subprocess.run(["insmod", self.path], capture_output=True, text=True)
        return f"module does not load: {done.stderr.strip()}" if done.returncode else ""


def measure(program: str, row: plan.Row, test: plan.Test, time: bool) -> None:
    command = [program, test.kind, row.variant, "--label", "x"] + test.arguments(time, row.variant == "plain")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, start_new_session=True)
        output = done.stdout
        failed = "" if done.returncode == 0 else f"ended with {done.returncode}"
    except subprocess.TimeoutExpired as expired:
        output = (expired.stdout or b"").decode()
        failed = f"no end after {TIMEOUT} s"
    for line in output.splitlines():
        words = line.split()
        if words[0] == "failed":
            failed = line[len("failed ") :]
        elif words[0] == "slab":
            say(row=row.name, slab=words[2], bytes=float(words[3]))
        elif words[0] == "result" and words[1] == "x":
            samples = [float(w) for w in words[words.index("samples") + 1 :]]
            say(row=row.name, test=test.name, samples=samples, unit=words[3], idle=float(words[5]))
    if failed:
        say(row=row.name, test=test.name, failed=failed)


def main() -> None:
    arguments = sys.argv[1:]
    program = os.path.join(arguments[0], "tcpbench")
    time = "--time" in arguments
    only = re.compile(arguments[arguments.index("--only") + 1] if "--only" in arguments else "")
    for name in ("tls", "aesni_intel", "gcm", "chacha20poly1305"):
        subprocess.run(["modprobe", "-q", name], check=False)
    say(kernel=os.uname().release)
    module = Module()
    for state, measurements in plan.phases():
        wanted = [(r, t) for r, t in measurements if only.search(f"{r.name} {t}")]
        refused = module.bring(state) if wanted else ""
        for row, test in wanted:
            if refused:
                say(row=row.name, test=test, failed=refused)
            else:
                measure(program, row, plan.TESTS[test], time)


if __name__ == "__main__":
    main()
