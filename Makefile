# SPDX-License-Identifier: GPL-2.0
#
# make                    build build/RELEASE/tcpcrypt.ko for the kernel of trixie-backports (on Debian 13: the running one)
# make KERNEL=RELEASE     for another kernel of the archive
# make KDIR=DIR           for a prepared build directory that has Rust metadata, with the tools of this machine
# make run                watch nginx and curl talk, with the module and without
# make check              all checks; T=name for one selftest
# make bench              the table of speed; BENCH=time for wall time

export KERNEL KDIR T BENCH

module:
	@scripts/build

clippy:
	@scripts/build CLIPPY=1

fmt:
	@scripts/rustfmt

run:
	@scripts/demo

check:
	@scripts/check $(T)

bench:
	@scripts/bench

clean:
	rm -rf build

.PHONY: module clippy fmt run check bench clean
