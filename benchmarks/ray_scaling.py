"""Scaling over workers on Ray: one worker of one thread, and two, taking turns.

    python benchmarks/ray_scaling.py [--quick] [--json]

Both apply `idrid-disc` to copies of the example photograph, reading and decoding it each time. What
counts is the pace between the first quarter of the results and the last tenth: workers that start
and workers that run out of work are left out.
"""

import argparse
import os
import time

from ab import Comparison, Report, main, needed

ROUNDS, QUICK_ROUNDS = 5, 1
IMAGES, QUICK_IMAGES = 60, 16


def measure(options: argparse.Namespace) -> Report:
    """Compare one worker with two."""
    os.environ["OMP_NUM_THREADS"] = "1"
    needed("ray", "ray")
    from retq_hub.embedded import EXAMPLE_IMAGE
    from retq_hub.pipeline import Pipeline

    pipeline = Pipeline.from_pretrained(["idrid-disc"], embed=False)
    count = QUICK_IMAGES if options.quick else IMAGES
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    samples: dict[str, list[float]] = {"1 worker": [], "2 workers": []}
    for number in range(rounds):
        for workers in (1, 2) if number % 2 == 0 else (2, 1):
            name = "1 worker" if workers == 1 else "2 workers"
            samples[name].append(pace(pipeline, [EXAMPLE_IMAGE] * count * workers, workers))
    found = Comparison(samples)
    report = Report(
        "Workers on Ray",
        what="One worker of one thread, and two: seconds an image, from the file to the result.",
        how=f"{count} images a worker, {rounds} rounds; starting and ending workers are left out.",
    )
    report.add_times(found, against="1 worker")
    report.add_target(
        "two workers, times as fast as one", found.ratio("1 worker", "2 workers"), at_least=1.6
    )
    return report


def pace(pipeline, images, workers: int) -> float:  # noqa: ANN001 - a pipeline, paths
    """Give the seconds an image, once all workers are at work."""
    times = [time.perf_counter() for _ in pipeline.map(images, pool="ray", workers=workers)]
    first, last = len(times) // 4, len(times) - len(times) // 10 - 1
    return (times[last] - times[first]) / (last - first)


if __name__ == "__main__":
    main(measure)
