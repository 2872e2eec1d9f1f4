# SPDX-License-Identifier: GPL-2.0
"""What `make bench` measures: the tests, the rows, and in which order.

Used by guest.py, which runs it in the machine, and by table.py, which prints it."""

from dataclasses import dataclass

CIPHERS = {"aes128-gcm": "AES-128-GCM", "chacha20-poly1305": "ChaCha20-Poly1305"}

# A plain row is measured in turns with the module away and present, so that nothing that drifts looks like its cost.
ROUNDS = 2


@dataclass(frozen=True)
class Test:
    name: str
    title: str
    kind: str  # of tcpbench
    size: int
    count: int
    unit: str

    def arguments(self, time: bool, plain: bool) -> list[str]:
        count = self.count
        if time and self.kind == "bulk":
            count = count * 4 if plain else count // 2  # neither over too soon for the clock nor for ever
        if time and self.kind in ("rr", "connect"):
            count //= 4  # waking the other processor takes milliseconds in the emulator
        return ["--size", str(self.size), "--count", str(count)] + (["--time", "--reps", "5"] if time else [])


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    variant: str  # of tcpbench
    module: str  # "absent", "off" or "on"
    tests: tuple[str, ...]


TESTS = {
    t.name: t
    for t in (
        Test("bulk-64K", "64 KiB", "bulk", 65536, 8 << 20, "byte"),
        Test("bulk-16K", "16 KiB", "bulk", 16384, 8 << 20, "byte"),
        Test("bulk-1K", "1 KiB", "bulk", 1024, 4 << 20, "byte"),
        Test("bulk-100", "100 B", "bulk", 100, 500_000, "byte"),
        Test("rr", "100 B and back", "rr", 100, 2000, "round trip"),
        Test("connect", "connection", "connect", 100, 300, "connection"),
        Test("idle", "idle memory", "idle", 1, 10_000, "connection"),
    )
}

BULK = ("bulk-64K", "bulk-16K", "bulk-1K", "bulk-100")
ALL = BULK + ("rr", "connect", "idle")


def rows() -> list[Row]:
    result = [
        Row("plain-absent", "plain TCP, module absent", "plain", "absent", ALL),
        Row("plain-off", "plain TCP, module loaded but off", "plain", "off", ALL),
    ]
    for cipher, title in CIPHERS.items():
        idle = ("idle",) if cipher == "aes128-gcm" else ()
        ktls = BULK + ("rr",) + idle
        result += [
            Row(f"ktls-{cipher}", f"kernel TLS 1.3, {title}", f"ktls:{cipher}", "absent", ktls),
            # An option that lets kernel TLS 1.3 decrypt straight into the reader's buffer: kernel TLS at its best.
            Row(f"ktls-nopad-{cipher}", "  with TLS_RX_EXPECT_NO_PAD", f"ktls-nopad:{cipher}", "absent", BULK + ("rr",)),
            Row(f"tcpcrypt-{cipher}", f"tcpcrypt, {title}", f"tcpcrypt:{cipher}", "on", BULK + ("rr", "connect") + idle),
        ]
    return result + [Row("openssl", "TLS 1.3 by OpenSSL", "openssl:aes128-gcm", "absent", ("connect",))]


def phases() -> list[tuple[str, list[tuple[Row, str]]]]:
    """The state of the module, and what is measured in it."""
    plan = []
    for turn in range(ROUNDS):
        for module in ("absent", "off"):
            plain = [(r, t) for r in rows() if r.variant == "plain" and r.module == module for t in r.tests]
            plan.append((module, [(r, t) for r, t in plain if turn == 0 or t != "idle"]))
    others = [(r, t) for r in rows() if r.variant != "plain" for t in r.tests]
    plan.insert(1, ("absent", [(r, t) for r, t in others if r.module == "absent"]))
    plan.append(("on", [(r, t) for r, t in others if r.module == "on"]))
    return plan
