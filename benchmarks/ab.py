"""Measuring A against B: in one run, taking turns, with minimum, median and maximum.

Machines are never quiet, so a ratio is taken within a round, where A and B ran one after the other,
and the spread is over the rounds. A benchmark is a function that gives a `Report`; `main` adds
``--json`` and ``--quick`` to it and prints:

    def measure(options):
        found = compare({"naive": naive, "retq": ours}, repeat=3 if options.quick else 7)
        report = Report("Throughput", what="Images to masks.")
        report.add_times(found, against="naive")
        report.add_target("times as fast", found.ratio("naive", "retq"), at_least=5)
        return report

    if __name__ == "__main__":
        main(measure)
"""

import argparse
import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from machine import machine

__all__ = [
    "Comparison",
    "Report",
    "Skipped",
    "Spread",
    "Table",
    "Target",
    "compare",
    "data_folder",
    "duration",
    "figure",
    "main",
    "needed",
    "seconds",
]

ROOT = Path(__file__).resolve().parent.parent


class Skipped(Exception):
    """A benchmark cannot run here; the message says what is missing."""


@dataclass(frozen=True)
class Spread:
    """Where measurements lie."""

    min: float
    median: float
    max: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Give the spread of at least one value."""
        known = list(values)
        return cls(min(known), statistics.median(known), max(known))

    def text(self, show: Callable[[float], str]) -> str:
        """Give it as ``median (min - max)``."""
        return f"{show(self.median)} ({show(self.min)} - {show(self.max)})"


@dataclass(frozen=True)
class Comparison:
    """What taking turns found.

    Attributes:
        samples: Seconds for each thing compared, round by round; all as many.
    """

    samples: Mapping[str, Sequence[float]]

    @property
    def times(self) -> dict[str, Spread]:
        """Seconds for each thing compared."""
        return {name: Spread.of(values) for name, values in self.samples.items()}

    def ratio(self, a: str, b: str) -> Spread:
        """Give how many times as long A took as B, each round by itself."""
        return Spread.of(x / y for x, y in zip(self.samples[a], self.samples[b], strict=True))


def compare(
    runs: Mapping[str, Callable[[], object]], *, repeat: int = 7, warmup: int = 1, per: int = 1
) -> Comparison:
    """Let functions take turns, and give their times.

    All run once in each round; every second round goes backwards, so that none is always first.

    Args:
        runs: What is compared, by name.
        repeat: So many rounds count.
        warmup: So many rounds before them do not.
        per: What a function does so often in one call: seconds are for one of these.
    """
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(-warmup, repeat):
        for name in list(runs) if number % 2 == 0 else reversed(runs):
            took = seconds(runs[name])
            if number >= 0:
                samples[name].append(took / per)
    return Comparison(samples)


def seconds(run: Callable[[], object]) -> float:
    """Give the seconds that a function takes, its work on a GPU included.

    CUDA events are the clock where PyTorch is loaded and has a GPU.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return _seconds_cuda(run, torch)
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _seconds_cuda(run: Callable[[], object], torch: Any) -> float:  # noqa: ANN401 - the module
    torch.cuda.synchronize()
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began.record()
    run()
    ended.record()
    torch.cuda.synchronize()
    return began.elapsed_time(ended) / 1000


@dataclass(frozen=True)
class Table:
    """A table of a report; all but the first column are numbers, unless ``left`` says no."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    left: bool = False

    def markdown(self) -> str:
        """Give it as Markdown."""
        rule = "---" if self.left else "--:"
        lines = [_line(self.columns), _line(["---", *[rule] * (len(self.columns) - 1)])]
        lines += map(_line, self.rows)
        return "\n".join(([self.caption, ""] if self.caption else []) + lines)


@dataclass(frozen=True)
class Target:
    """What was wanted, and what was found."""

    what: str
    wanted: str
    found: str
    met: bool


@dataclass
class Report:
    """What a benchmark has to say.

    Attributes:
        title: What was measured, in a few words.
        what: What is compared with what, in a sentence or two.
        how: How it was measured: data, repetitions, what is left out.
        tables: The figures.
        targets: What they should be.
        notes: What falls short, and what one should know.
        skipped: Why nothing was measured.
    """

    title: str
    what: str = ""
    how: str = ""
    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped: str = ""

    def add_table(
        self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str = ""
    ) -> None:
        """Add a table; cells are shown as they are."""
        self.tables.append(Table(columns, [[str(one) for one in row] for row in rows], caption))

    def add_times(
        self, found: Comparison, *, against: str = "", cost: bool = False, caption: str = ""
    ) -> None:
        """Add a comparison as a table: the time of each, and how fast it is beside another.

        Args:
            found: The comparison.
            against: What the others are measured by; the first if not given.
            cost: Show how many times as long each takes, not how many times as fast it is.
            caption: What stands above.
        """
        base = against or next(iter(found.samples))
        head = f"time / {base}" if cost else f"times as fast as {base}"
        rows = []
        for name, took in found.times.items():
            ratio = found.ratio(name, base) if cost else found.ratio(base, name)
            times = map(duration, (took.min, took.median, took.max))
            rows.append([name, *times, *map(figure, (ratio.min, ratio.median, ratio.max))])
        self.add_table(
            ("", "min", "median", "max", f"{head}: min", "median", "max"), rows, caption=caption
        )

    def add_target(
        self,
        what: str,
        found: "float | Spread",
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        show: Callable[[float], str] | None = None,
    ) -> None:
        """Say what a figure should be, and whether it is.

        Args:
            what: Which figure.
            found: What it is; the median of a spread counts, the rest is shown.
            at_least: What it should be at least, or
            at_most: at most.
            show: How a figure is written; with three digits if not given.
        """
        bound = at_least if at_least is not None else at_most
        assert bound is not None
        show = show or figure
        value = found.median if isinstance(found, Spread) else found
        shown = found.text(show) if isinstance(found, Spread) else show(found)
        met = value >= bound if at_least is not None else value <= bound
        sign = "at least" if at_least is not None else "at most"
        self.targets.append(Target(what, f"{sign} {show(bound)}", shown, met))

    def markdown(self) -> str:
        """Give it as a section of a page."""
        parts = [f"## {self.title}", self.what, self.how]
        parts += [f"Skipped here: {self.skipped}."] if self.skipped else []
        parts += [one.markdown() for one in self.tables]
        if self.targets:
            rows = [[one.what, one.wanted, one.found, _met(one.met)] for one in self.targets]
            parts.append(Table(("target", "wanted", "found", "met"), rows).markdown())
        parts.append("\n".join(f"- {one}" for one in self.notes))
        return "\n\n".join(part for part in parts if part)

    def document(self) -> dict[str, Any]:
        """Give it as JSON."""
        return asdict(self)

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> "Report":
        """Read it from JSON."""
        values = dict(document)
        values["tables"] = [Table(**one) for one in values["tables"]]
        values["targets"] = [Target(**one) for one in values["targets"]]
        return cls(**values)


def main(
    measure: Callable[[argparse.Namespace], Report], parser: argparse.ArgumentParser | None = None
) -> None:
    """Run a benchmark as a command.

    Args:
        measure: Gives the report; `Skipped` where something is missing.
        parser: The benchmark's own options; ``--json`` and ``--quick`` are added.
    """
    if parser is None:
        described = sys.modules["__main__"].__doc__ or ""
        parser = argparse.ArgumentParser(description=described.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON, machine and all")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, less data")
    options = parser.parse_args()
    try:
        report = measure(options)
    except Skipped as missing:
        report = Report(parser.prog.removesuffix(".py"), skipped=str(missing))
    if options.json:
        print(json.dumps({"machine": machine().document(), "report": report.document()}, indent=2))
    else:
        print(report.markdown())


def needed(package: str, extra: str) -> Any:  # noqa: ANN401 - a module
    """Import an optional package.

    Raises:
        Skipped: It is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError:
        raise Skipped(f'{package} is not installed (`pip install "retq-hub[{extra}]"`)') from None


def data_folder() -> Path:
    """Give the folder with the published data sets: ``RETQ_DATA``, or the one beside the clone.

    Raises:
        Skipped: There is none.
    """
    folder = Path(os.environ.get("RETQ_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        raise Skipped("no IDRiD and HVDROPDB: set RETQ_DATA to the folder that holds them")
    return folder


def duration(value_s: float) -> str:
    """Show seconds with three digits: ``1.23 s``, ``45.6 ms``, ``789 us``."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value_s >= size or unit == "us":
            return f"{figure(value_s / size)} {unit}"
    raise AssertionError(value_s)


def figure(value: float) -> str:
    """Show a number with three digits, and no exponent: ``0.0123``, ``5.6``, ``1234``."""
    return f"{value:.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _met(met: bool) -> str:
    return "yes" if met else "**no**"
