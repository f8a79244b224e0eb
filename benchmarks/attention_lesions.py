"""Do graders look at lesions? Their attention and evidence against IDRiD's lesion masks.

    python benchmarks/attention_lesions.py DATA QUERY... [--target lesions] [--split test] [--json]

DATA has the folder ``IDRiD``. Images that had a part in a query's training, in whatever file, are
left out: 15 of the 27 test photographs of part A are in the training split of part B.
"""

import argparse
import json
from pathlib import Path

from retq_hub.cli.console import BarProgress, print_table
from retq_hub.datasets import open_dataset
from retq_hub.manifest import Interval, to_json
from retq_hub.pointing import Pointing, point
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
    heads = ("query", "target", "images", "map", "AUROC", "all pixels", "AUPRC")
    print_table(heads, [row for one in found for row in rows(one)], right=3)
    left_out = sorted({name for one in found for name in one.left_out})
    print(f"left out, since trained on: {', '.join(left_out) or 'none'}")


def rows(one: Pointing) -> list[tuple[str, ...]]:
    """Give a line for each map."""
    return [
        (
            one.query.partition("@")[0],
            one.target,
            str(len(one.images)),
            name,
            said(area),
            f"{one.pooled[name]:.3f}",
            f"{one.auprc[name].mean:.3f} ({one.chance:.3f})",
        )
        for name, area in one.auroc.items()
    ]


def said(area: Interval) -> str:
    """Give a mean with its interval."""
    low, high = area.ci95
    return f"{area.mean:.3f} ({low:.3f}-{high:.3f})"


if __name__ == "__main__":
    main()
