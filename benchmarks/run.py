"""All benchmarks that belong to docs/benchmarks.md, one after the other: `make bench`.

    python benchmarks/run.py [--only NAME]... [--quick] [--output FOLDER]

Writes benchmarks.md, and the same as benchmarks.json, into docs/. ``--only`` measures some anew and
keeps the other sections, as long as the machine and the packages are the same. ``--quick`` shows
that they run, its figures are no figures: the page goes to the output named, or is only printed.
Leaves with 1 if a benchmark fails or a target is missed.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ab import ROOT, Report, Table
from machine import Machine, machine

HERE = Path(__file__).resolve().parent
ORDER = (
    "throughput",
    "engines",
    "queries",
    "new_query",
    "memory",
    "ray_scaling",
    "ray_kill",
    "cold_start",
    "startup",
    "training",
    "streaming_metrics",
    "backbone_loading",
    "index_search",
)
"""The benchmarks, in the order of the page."""

LIMIT_S = 1200
_HEAD = """\
# Benchmarks

`make bench` measures all of this and writes this page. What is compared takes turns within one run,
because no machine is ever quiet: ratios are taken round by round, and each is shown with the least,
the middle and the greatest. Look at ratios; times are those of the machine below."""

Results = dict[str, dict[str, Any]]
"""By name: the report as JSON, and the seconds that it took."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", action="append", choices=ORDER, help="repeatable")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, less data")
    parser.add_argument("--output", type=Path, help="a folder; docs/ if not given")
    options = parser.parse_args()
    output = options.output or (None if options.quick else ROOT / "docs")
    here, busy = machine(), os.getloadavg()[0]
    results = kept(output / "benchmarks.json", here) if output and options.only else {}
    for name in options.only or ORDER:
        results[name] = ran(HERE / f"{name}.py", quick=options.quick)
    results = {name: results[name] for name in ORDER if name in results}
    text = page(here, busy, results)
    if output is None:
        print(text)
    else:
        output.mkdir(parents=True, exist_ok=True)
        document = {"machine": here.document(), "results": results}
        (output / "benchmarks.json").write_text(json.dumps(document, indent=1) + "\n")
        (output / "benchmarks.md").write_text(text)
    sys.exit(0 if all(map(is_well, results.values())) else 1)


def kept(path: Path, here: Machine) -> Results:
    """Give what was measured before on the same machine; nothing of another."""
    if not path.is_file():
        return {}
    document = json.loads(path.read_text())
    if document["machine"] != here.document():
        print("the page was made on another machine: its sections are dropped", file=sys.stderr)
        return {}
    found: Results = document["results"]
    return found


def ran(script: Path, *, quick: bool) -> dict[str, Any]:
    """Run a benchmark in a process of its own; one that fails has a section that says so."""
    name = script.stem
    print(f"{name} ...", file=sys.stderr, flush=True)
    began = time.perf_counter()
    command = [sys.executable, str(script), "--json", *(["--quick"] if quick else [])]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True, timeout=LIMIT_S, cwd=ROOT
        )
        report = json.loads(done.stdout)["report"]
    except (subprocess.SubprocessError, ValueError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        report = Report(name, skipped=f"it failed ({type(error).__name__})").document()
        report["failed"] = True
    took = time.perf_counter() - began
    print(f"{name}: {took:.0f} s", file=sys.stderr, flush=True)
    return {"report": report, "seconds": round(took)}


def is_well(result: dict[str, Any]) -> bool:
    """Whether a benchmark ended, and met its targets."""
    report = result["report"]
    return "failed" not in report and all(one["met"] for one in report["targets"])


def page(here: Machine, busy: float, results: Results) -> str:
    """Give the page; ``busy`` is how many other processes wanted the processor at the start."""
    reports = [
        Report.of_document({key: value for key, value in one["report"].items() if key != "failed"})
        for one in results.values()
    ]
    took = sum(one["seconds"] for one in results.values())
    facts = [
        *here.rows(),
        ("other work at the start", f"load average {busy:.1f}"),
        ("all of it took", f"{took / 60:.0f} minutes"),
    ]
    targets = [
        (f"{report.title}: {one.what}", one.wanted, one.found, "yes" if one.met else "**no**")
        for report in reports
        for one in report.targets
    ]
    parts = [_HEAD, Table(("machine", ""), facts, left=True).markdown()]
    if targets:
        parts += ["## Targets", Table(("target", "wanted", "found", "met"), targets).markdown()]
    return "\n\n".join([*parts, *(report.markdown() for report in reports)]) + "\n"


if __name__ == "__main__":
    main()
