"""How long a search through a large index takes, and how much memory: the call, and `retq search`.

    python benchmarks/index_search.py [--records 100000] [--quick] [--json]

The index is made in a temporary folder: so many records that point to a Hub, four versions to a
name, drawn with a fixed seed. Memory is the largest share of main memory that a process of its own
held, the interpreter included.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from ab import Report, duration, main

from retq_hub import catalogue
from retq_hub.index import FILE
from retq_hub.record import Record

TARGETS = (
    "optic disc",
    "hard exudates",
    "soft exudates",
    "haemorrhages",
    "microaneurysms",
    "drusen",
    "geographic atrophy",
    "ridge of retinopathy of prematurity",
)
CALLS = {
    "a rare word": "list(found.matching(Wish(words=('number-77',))))",
    "a common word": "list(found.matching(Wish(words=('drusen',))))",
    "two words, one target": "list(found.matching(Wish(words=('eye-1', 'fundus'), target='disc')))",
    "Dice alone": "list(found.matching(Wish(min_dice=0.999)))",
    "one name": "found.named('drusen-77')",
}
COMMANDS = {
    "retq search --no-hub, a rare word": ("search", "number-77", "--no-hub"),
    "retq search --no-hub, the best 20": ("search", "drusen", "--no-hub", "--limit", "20"),
    "retq search --no-hub, Dice alone": ("search", "--min-dice", "0.999", "--no-hub"),
    "retq list, embedded registry": ("list",),
}
SCRIPT = """
import json, resource, sys, time
from pathlib import Path
from retq_hub import catalogue
from retq_hub.wish import Wish
wall, cpu = time.perf_counter(), time.process_time()
found = catalogue.read(Path(sys.argv[1]))
hits = {call}
seconds = time.perf_counter() - wall, time.process_time() - cpu
mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([*seconds, mb, len(hits)]))
"""
Figures = tuple[float, float, float, int]
"""Seconds on the clock and of the processor, MB, what was found."""


def make_index(folder: Path, records: int) -> Path:
    """Write an index and give its path."""
    draw = random.Random(0)

    def digits(count: int) -> str:
        return f"{draw.getrandbits(4 * count):0{count}x}"

    backbones = [(f"backbone-{n}", digits(64), digits(64)) for n in range(12)]
    made = []
    for number in range(records):
        name = number // 4
        target = TARGETS[name % len(TARGETS)]
        backbone, weights, preprocessing = backbones[name % len(backbones)]
        made.append(
            Record(
                name=f"{target.split()[-1]}-{name}",
                version=f"1.{number % 4}.0",
                digest=digits(64),
                summary=f"Marks {target} in fundus photographs, number-{name}, eye-{name % 9}.",
                targets=(target,),
                backbone=backbone,
                weights_digest=weights,
                preprocessing_digest=preprocessing,
                floats=384,
                datasets=("A data set of fundus photographs, part A (segmentation)",),
                licence="CC-BY-4.0",
                repo=f"someone-{name % 500}/{target.split()[-1]}-{name}",
                commit=digits(40),
                dice=round(draw.random(), 6),
                auroc=round(draw.random(), 6),
                yanked="Marks too much." if number % 50 == 0 else False,
            )
        )
    path = folder / FILE
    path.write_bytes(catalogue.lay_out(made))
    return path


def call(path: Path, code: str) -> Figures:
    """Run a call in a process of its own."""
    command = [sys.executable, "-c", SCRIPT.replace("{call}", code), str(path)]
    wall, cpu, mb, found = json.loads(
        subprocess.run(command, capture_output=True, check=True).stdout
    )
    return wall, cpu, mb, found


def process(arguments: tuple[str, ...], registry: str) -> Figures:
    """Run a command; what is found are lines of its table."""
    environment = os.environ | {"RETQ_REGISTRY": registry, "COLUMNS": "120"}
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "retq_hub.cli", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as child:
        lines = len(child.stdout.read().splitlines()) if child.stdout else 0
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, lines


def row(what: str, runs: list[Figures]) -> tuple[str, ...]:
    """Sum up some runs."""
    wall, cpu, mb, _ = zip(*runs, strict=True)
    times = [min(wall), statistics.median(wall), max(wall), statistics.median(cpu)]
    return (what, *map(duration, times), f"{max(mb):.0f}", str(runs[0][3]))


def measure(options: argparse.Namespace) -> Report:
    repeat, records = (1, options.records // 10) if options.quick else (5, options.records)
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own: a child's memory counts from its parent's.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            path = pool.submit(make_index, Path(folder), records).result()
        size = path.stat().st_size
        rows = [
            row(what, [call(path, code) for _ in range(repeat)]) for what, code in CALLS.items()
        ]
        for what, arguments in COMMANDS.items():
            place = folder if arguments[0] == "search" else ""
            rows.append(row(what, [process(arguments, place) for _ in range(repeat)]))
    report = Report(
        "Searching a large index",
        what=f"{records} records, {size / 2**20:.0f} MiB: reading and searching it in Python, and "
        "the commands from start to end.",
        how=f"{repeat} runs each, every one in a process of its own.",
    )
    report.add_table(("", "min", "median", "max", "processor, median", "MB at most", "found"), rows)
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=100_000)
    main(measure, parser)
