# SPDX-License-Identifier: GPL-2.0
"""Turns measurements into the table, the verdicts on the goals, and lines for programs."""

import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field

import plan

# Below this a difference between two runs of the same thing is nothing.
NOISE = 0.005
IDLE_GOAL = 4096


@dataclass
class Cell:
    samples: list[float] = field(default_factory=list)
    unit: str = ""
    idle: float = 0.0
    failed: str = ""

    @property
    def value(self) -> float:
        # Other work on the host only ever makes wall time longer.
        return min(self.samples) if self.unit.startswith("ns/") else statistics.median(self.samples)

    @property
    def spread(self) -> float:
        return (max(self.samples) - min(self.samples)) / self.value if self.value else 0.0


class Results:
    def __init__(self, only: str = "") -> None:
        self.only = re.compile(only)
        self.kernel = ""
        self.cells: dict[tuple[str, str], Cell] = {}
        self.slabs: dict[str, list[tuple[str, float]]] = {}

    def add(self, line: dict) -> None:
        if "kernel" in line:
            self.kernel = line["kernel"]
            return
        if "slab" in line:
            self.slabs.setdefault(line["row"], []).append((line["slab"], line["bytes"]))
            return
        cell = self.cells.setdefault((line["row"], line["test"]), Cell())
        if "failed" in line:
            cell.failed = line["failed"]
            return
        cell.samples += line["samples"]
        cell.unit = line["unit"]
        cell.idle = max(cell.idle, line["idle"])

    def wanted(self, row: plan.Row, test: str) -> bool:
        return test in row.tests and bool(self.only.search(f"{row.name} {test}"))

    def get(self, row: str, test: str) -> Cell | None:
        cell = self.cells.get((row, test))
        return cell if cell and cell.samples and not cell.failed else None

    def ratio(self, row: str, to: str, test: str) -> float | None:
        a, b = self.get(row, test), self.get(to, test)
        return a.value / b.value if a and b and b.value else None


def figure(value: float) -> str:
    if value < 1000:
        return f"{value:.2f}"
    return f"{value:,.0f}"


def columns(results: Results, tests: tuple[str, ...]) -> Iterator[str]:
    yield " " * 34 + "".join(f"{plan.TESTS[t].title:>18}" for t in tests)
    for row in plan.rows():
        cells = []
        for test in tests:
            cell = results.get(row.name, test)
            ratio = results.ratio(row.name, "plain-absent", test)
            text = figure(cell.value) if cell else "-" if results.wanted(row, test) else ""
            cells.append(f"{text:>10} {f'x{ratio:.2f}' if ratio else '':<7}")
        if any(results.wanted(row, t) for t in tests):
            yield (f"{row.title:34}" + "".join(cells)).rstrip()


def render(results: Results, time: bool) -> Iterator[str]:
    what = "nanoseconds" if time else "instructions"
    yield f"Linux {results.kernel}: {what} of both ends and the kernel; x is the ratio to plain TCP without the module"
    if not time:
        yield "(string instructions count once per byte: copying a byte, or clearing one of a page, is about one)"
    sections = (
        (f"one way, by size of the writes: {what} per byte", plan.BULK),
        (f"{what} per round trip, and per connection (connect, 100 bytes, 100 bytes back, close)", ("rr", "connect")),
        ("bytes of memory per idle connection, both its ends in one kernel", ("idle",)),
    )
    for title, tests in sections:
        tests = tuple(t for t in tests if any(results.wanted(row, t) for row in plan.rows()))
        if tests:
            yield f"\n{title}"
            yield from columns(results, tests)
        if "connect" in tests and time:
            yield from rates(results)
        if "idle" in tests:
            yield from growth(results)
    yield ""
    spreads = [(c.spread, *k) for k, c in results.cells.items() if c.samples and k[1] != "idle"]
    if spreads:
        worst = max(spreads)
        middle = statistics.median(s[0] for s in spreads)
        yield (
            f"{'the fastest of the repetitions; their' if time else 'the median; the'} spread, (max - min) over it: {100 * middle:.1f} % in the middle, "
            f"at most {100 * worst[0]:.1f} % ({worst[1]} {worst[2]})"
        )
    for (row, test), cell in results.cells.items():
        if cell.idle > 5:
            yield f"{row} {test}: the CPU waited for {cell.idle:.0f} % of the time (not counted)"
        if cell.failed:
            yield f"{row} {test}: not measured: {cell.failed}"


def rates(results: Results) -> Iterator[str]:
    yield "\nconnections per second"
    for row in plan.rows():
        if cell := results.get(row.name, "connect"):
            yield f"{row.title:34}{1e9 / cell.value:>10,.0f}"


def growth(results: Results) -> Iterator[str]:
    plain = dict(results.slabs.get("plain-absent", []))
    for row, slabs in results.slabs.items():
        more = [(name, size - plain.get(name, 0)) for name, size in slabs]
        more = [f"{name} {size:.0f}" for name, size in more if size >= 32]
        if row.startswith("tcpcrypt") and more:
            yield f"  {row} over plain, in slab caches: " + ", ".join(more)


def goals(results: Results) -> Iterator[tuple[str, str, str]]:
    """What the first version must reach: sentence, figures, verdict."""
    for cipher, title in plan.CIPHERS.items():
        for test in ("bulk-64K", "bulk-16K"):
            ratio = results.ratio(f"tcpcrypt-{cipher}", f"ktls-{cipher}", test)
            best = results.ratio(f"tcpcrypt-{cipher}", f"ktls-nopad-{cipher}", test)
            figures = f"x{ratio:.3f}" + (f" (x{best:.3f} of it without padding)" if best else "") if ratio else ""
            name = f"{plan.TESTS[test].title} writes, {title}: no dearer than kernel TLS"
            yield name, figures, verdict(ratio, 1.0)
    ratio = results.ratio("tcpcrypt-aes128-gcm", "openssl", "connect")
    yield "a connection: at most a third of one with TLS 1.3", f"x{ratio:.3f}" if ratio else "", verdict(ratio, 1 / 3)
    idle, plain = results.get("tcpcrypt-aes128-gcm", "idle"), results.get("plain-absent", "idle")
    more = idle.value - plain.value if idle and plain else None
    # A host pays for its own end, but "a connection" may be read as both: each reading has its verdict.
    for ends, part in (("one end", 2), ("both ends", 1)):
        bytes_more = more / part if more is not None else None
        figures = f"{bytes_more:,.0f}" if bytes_more is not None else ""
        name = f"an idle connection, {ends}: at most {IDLE_GOAL} bytes over plain TCP"
        yield name, figures, verdict(bytes_more, IDLE_GOAL)
    for test in plan.BULK + ("rr", "connect"):
        off, absent = results.get("plain-off", test), results.get("plain-absent", test)
        ratio = results.ratio("plain-off", "plain-absent", test)
        limit = 1 + max(NOISE, absent.spread, off.spread) if off and absent else 1.0
        figures = f"x{ratio:.4f}, spread {limit - 1:.4f}" if ratio else ""
        yield f"loaded but off, {plan.TESTS[test].title}: no measurable cost", figures, verdict(ratio, limit)


def verdict(value: float | None, limit: float) -> str:
    if value is None:
        return "not measured"
    return "met" if value <= limit else "MISSED"


def lines(results: Results) -> Iterator[str]:
    """For programs: name, value, unit."""
    for (row, test), cell in sorted(results.cells.items()):
        if cell.samples and not cell.failed:
            yield f"{test}.{row} {cell.value:.3f} {cell.unit}"
            yield f"{test}.{row}.spread {100 * cell.spread:.2f} percent"
