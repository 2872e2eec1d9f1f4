# SPDX-License-Identifier: GPL-2.0
"""The host's side of bench: compiles tcpbench in the Debian root, builds the module, boots the machine."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
OUT = REPO / "build" / "bench"
GUEST_OUT = "/mnt/bench"


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def compile_tcpbench() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    program = OUT / "tcpbench"
    sources = sorted((REPO / "bench").glob("*.[ch]")) + [REPO / "include/uapi/linux/tcp_eno.h"]
    if program.exists() and all(program.stat().st_mtime > s.stat().st_mtime for s in sources):
        return
    names = [f"/repo/bench/{s.name}" for s in sources if s.suffix == ".c"]
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-I/repo/include/uapi"]
    command = [REPO / "scripts/in-root", "gcc", *flags, "-o", "/repo/build/bench/tcpbench", *names, "-lssl", "-lcrypto"]
    subprocess.run(command, check=True)


def build_module() -> bool:
    done = subprocess.run([REPO / "scripts/build"], stdout=subprocess.DEVNULL)
    if done.returncode:
        say("the module does not build; its rows will say so")
    return done.returncode == 0


def qemu_with(arguments: list[str]) -> Path:
    """A directory with a QEMU that takes these arguments as well as those of scripts/vm."""
    wrapper = OUT / "bin" / "qemu-system-x86_64"
    wrapper.parent.mkdir(exist_ok=True)
    real = shutil.which(wrapper.name)
    wrapper.write_text(f'#!/bin/sh\nexec {real} "$@" {shlex.join(arguments)}\n')
    wrapper.chmod(0o755)
    return wrapper.parent


def boot(command: list[str], *, icount: bool, timeout: int, qemu: list[str] | None = None) -> Iterator[str]:
    """Runs the command in the machine, yields the lines it prints, exits as it did unless that was well."""
    options = ["--memory", "4G", "--timeout", str(timeout), "--dir", f"{OUT}:{GUEST_OUT}"]
    # Under --icount a guest that waits for its disk sees minutes pass, and takes the one who waits for hung.
    options += ["--icount", "--append", "sysctl.kernel.hung_task_timeout_secs=0"] if icount else ["--cpus", "2"]
    environment = dict(os.environ)
    if qemu:
        environment["PATH"] = f"{qemu_with(qemu)}:{environment['PATH']}"
    vm = subprocess.Popen(
        ["nice", REPO / "scripts/vm", *options, "--", *command], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert vm.stdout
    try:
        for line in vm.stdout:
            yield line.rstrip("\n")
    finally:
        status = vm.wait()
    if status:
        raise subprocess.CalledProcessError(status, "scripts/vm")
