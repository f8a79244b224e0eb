"""Which photographs of IDRiD's part A (segmentation) are in its part B (grading) too, by number.

    python benchmarks/photographs.py DATA [--json] [--table registry/photographs.json]

DATA has the folders ``IDRiD`` and ``IDRiD_grading``. ``--table`` writes the codes of part A, by
which queries that were trained before manifests held codes are told.
"""

import argparse
import json
from pathlib import Path

from retq_hub import twins
from retq_hub.datasets import open_dataset
from retq_hub.evaluation import IMAGE_PREFIX
from retq_hub.labels.sets import open_labels
from retq_hub.progress import Silent
from retq_hub.storage import write_json


def main() -> None:
    """Print what is the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    parts = [
        (split, one)
        for split in ("train", "test")
        for one in open_dataset("idrid", options.data / "IDRiD", target="disc", split=split).samples
    ]
    graded = open_labels(
        "idrid-grading", options.data / "IDRiD_grading", column="dr-grade", split="all"
    ).samples
    ours = twins.codes([one for _, one in parts], progress=Silent())
    theirs = twins.codes(graded, progress=Silent())
    found = [
        {"segmentation": f"{split}_{one.id}", "grading": [graded[n].id for n in numbers]}
        for (split, one), numbers in zip(parts, twins.alike(ours, theirs), strict=True)
    ]
    within = [[graded[n].id for n in pair] for pair in twins.pairs(theirs)]
    if options.table:
        table = {
            one.image_digest[:IMAGE_PREFIX]: code
            for (_, one), code in zip(parts, ours, strict=True)
        }
        write_json(options.table, dict(sorted(table.items())))
    if options.json:
        print(json.dumps({"across": found, "within": within}, indent=2))
        return
    for one in found:
        print(f"{one['segmentation']:18} {', '.join(one['grading']) or '-'}")
    print(f"\n{sum(bool(one['grading']) for one in found)} of {len(found)} are in part B")
    print("twice in part B: " + ", ".join(" = ".join(one) for one in within))


if __name__ == "__main__":
    main()
