"""How long the commands take that need no backbone, each in a fresh process.

    python benchmarks/cold_start.py [--quick] [--json]

They take turns with a Python that does nothing. `pull` copies an embedded query into a new folder,
verified. No network, no registries but the embedded one.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from ab import Report, compare, duration, main

QUERY = "idrid-disc"
MOST_S = 0.3


def measure(options: argparse.Namespace) -> Report:
    with tempfile.TemporaryDirectory() as scratch:
        runs = {name: Command(make) for name, make in commands(Path(scratch)).items()}
        found = compare(runs, repeat=3 if options.quick else 15)
    report = Report(
        "Cold start of the command line",
        what="Commands that need no backbone, each from the start of the process to its end, "
        "beside a Python that does nothing.",
        how=f"{len(found.samples['python -c pass'])} rounds, taking turns; files in the system's "
        f"cache. `pull` makes a verified copy of `{QUERY}` in a new folder.",
    )
    report.add_times(found, against="python -c pass", cost=True)
    report.add_table(
        ("", "min", "median"),
        [
            (name, duration(min(one.processor_s)), duration(statistics.median(one.processor_s)))
            for name, one in runs.items()
        ],
        caption="Time of the processor alone, which other work on the machine changes less:",
    )
    for name in ("retq list", "retq info", "retq pull"):
        report.add_target(f"{name}, seconds", found.times[name], at_most=MOST_S)
    return report


class Command:
    """Runs Python to its end, again and again.

    Args:
        arguments: Gives what it is run with, anew each time.

    Attributes:
        processor_s: What each run took of the processor, in seconds.
    """

    def __init__(self, arguments: Callable[[], Sequence[str]]) -> None:
        self._arguments = arguments
        self.processor_s: list[float] = []

    def __call__(self) -> None:
        """Run it once."""
        before = _children_s()
        subprocess.run(
            [sys.executable, *self._arguments()],
            check=True,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"RETQ_REGISTRY": "", "HF_HUB_OFFLINE": "1"},
        )
        self.processor_s.append(_children_s() - before)


def commands(scratch: Path) -> dict[str, Callable[[], Sequence[str]]]:
    """Give what is compared; each pull goes to a folder of its own."""
    numbers = count()

    def retq(*arguments: str) -> Callable[[], Sequence[str]]:
        return lambda: ("-m", "retq_hub.cli", *arguments)

    return {
        "python -c pass": lambda: ("-c", "pass"),
        "retq --help": retq("--help"),
        "retq list": retq("list"),
        "retq info": retq("info", QUERY),
        "retq pull": lambda: retq("pull", QUERY, "-o", f"{scratch / str(next(numbers))}")(),
    }


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(measure)
