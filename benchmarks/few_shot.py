"""How long few-shot adaptation takes, embeddings being there: the three methods on random vectors.

Processor time alone, the least of some runs: random vectors say nothing of how well a method does.

    python benchmarks/few_shot.py [--repeats 5] [--json]
"""

import argparse
import json
import time

import torch
import torch.nn.functional as F

from retq_hub.labels.fewshot import METHODS
from retq_hub.threads import one_thread

_SIZES = ((5, 1, 512), (5, 16, 512), (10, 16, 768), (50, 16, 512))
"""Classes, images of each, width of the space."""


def measure(method: str, classes: int, shots: int, width: int, repeats: int) -> float:
    """Give the least processor time of several runs, in milliseconds."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(classes).repeat_interleave(shots)
    text = torch.randn(classes, width, generator=generator, dtype=torch.float64)
    own = torch.randn(len(labels), width, generator=generator, dtype=torch.float64)
    features = F.normalize(text[labels] + 2 * own, dim=-1)
    times = []
    with one_thread():
        for _ in range(repeats):
            begun = time.process_time()
            METHODS[method](features, labels, F.normalize(text, dim=-1), 14.3)
            times.append(1000 * (time.process_time() - begun))
    return min(times)


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for classes, shots, width in _SIZES:
        times = {
            method: round(measure(method, classes, shots, width, options.repeats), 2)
            for method in METHODS
        }
        rows.append({"classes": classes, "shots": shots, "width": width, "milliseconds": times})
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print("| classes | shots | width | " + " | ".join(f"{one}, ms" for one in METHODS) + " |")
    print("|--:" * (3 + len(METHODS)) + "|")
    for row in rows:
        cells = [row["classes"], row["shots"], row["width"], *row["milliseconds"].values()]
        print("| " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    main()
