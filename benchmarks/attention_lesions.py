"""Do graders look at lesions? Their attention and evidence against IDRiD's lesion masks.

    python benchmarks/attention_lesions.py DATA QUERY... [--target lesions] [--split test] [--json]

DATA has the folder ``IDRiD``. Images that had a part in a query's training, in whatever file, are
left out: 15 of the 27 test photographs of part A are in the training split of part B.
"""

import argparse
import json
from pathlib import Path

from retq_hub.assessment.pointing import Pointing, point
from retq_hub.cli.console import BarProgress, print_table
from retq_hub.datasets import open_dataset
from retq_hub.manifest import to_json
from retq_hub.query import Query

TARGETS = ("lesions", "ma", "he", "ex", "se")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("queries", nargs="+")
    parser.add_argument("--target", action="append", choices=TARGETS)
    parser.add_argument("--split", default="test")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    progress = BarProgress()
    found = [
        point(
            Query.from_pretrained(name),
            open_dataset("idrid", options.data / "IDRiD", target=target, split=options.split),
            progress=progress,
        )
        for name in options.queries
        for target in options.target or TARGETS
    ]
    if options.json:
        print(json.dumps([to_json(one) for one in found], indent=2))
        return
    heads = ("query", "target", "map", "AUROC", "95 % interval", "all pixels", "AUPRC")
    print_table(heads, [row for one in found for row in rows(one)], right=4)
    for line in dict.fromkeys(map(counted, found)):
        print(line)


def rows(one: Pointing) -> list[tuple[str, ...]]:
    """Give a line for each map."""
    return [
        (
            one.query.partition("@")[0],
            one.target,
            name,
            f"{area.mean:.3f}",
            f"{area.ci95[0]:.3f} - {area.ci95[1]:.3f}",
            f"{one.pooled[name]:.3f}",
            f"{one.auprc[name].mean:.3f}",
        )
        for name, area in one.auroc.items()
    ]


def counted(one: Pointing) -> str:
    """Say which images were measured, and what average precision is without knowledge."""
    left_out = ", ".join(one.left_out) or "none"
    return (
        f"\n{one.query}, {one.target}: {len(one.images)} images, {one.chance:.2%} of the pixels; "
        f"left out, since trained on: {left_out}"
    )


if __name__ == "__main__":
    main()
