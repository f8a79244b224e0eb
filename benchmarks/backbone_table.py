"""The table of docs/backbones.md: every shipped spec, and how far it is from upstream's own code.

Specs come from the registry, deviations from tests/golden, where README.md says how they were
measured. Prints Markdown: ``python benchmarks/backbone_table.py [--json]``.
"""

import argparse
import json
from pathlib import Path

from retq_hub import registry
from retq_hub.spec import BackboneSpec, Preprocessing

GOLDEN = Path(__file__).resolve().parent.parent / "tests/golden"
OLDER = {
    "dinov2-small-saliency": "1e-3 (its ONNX graph)",
    "retfound-green": "1e-5 (timm)",
}
"""What the tests of these two, which have no golden file, hold them to."""

HEAD = (
    "| id | network | input, grid | aspect | layers | image embedding | licence | weights "
    "| deviation |"
)


def deviations() -> dict[str, float]:
    found: dict[str, float] = {}
    for path in sorted(GOLDEN.glob("*.json")):
        golden = json.loads(path.read_text())
        found |= {name: max(one.values()) for name, one in golden["deviation"].items()}
    return found


def aspect(preprocessing: Preprocessing) -> str:
    share = preprocessing.share
    return preprocessing.aspect if share is None else f"{preprocessing.aspect} {share:g}"


def row(spec: BackboneSpec, measured: float | None) -> list[str]:
    deviation = OLDER.get(spec.id, "not measured") if measured is None else f"{measured:.0e}"
    dense = ", dense" if spec.architecture.dense else ""
    return [
        f"`{spec.id}`",
        f"`{spec.architecture.name}`{dense}",
        f"{spec.preprocessing.size_px} px, {spec.tokens.grid} x {spec.tokens.grid}",
        aspect(spec.preprocessing),
        f"{spec.tokens.layers} x {spec.tokens.width}",
        spec.pooling,
        spec.licence.id,
        spec.access,
        "0" if measured == 0 else deviation.replace("e-0", "e-"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    measured = deviations()
    specs = registry.backbone_specs().values()
    if given.json:
        print(json.dumps({spec.id: measured.get(spec.id) for spec in specs}, indent=2))
        return
    print(HEAD)
    print("|---" * (HEAD.count("|") - 1) + "|")
    for spec in specs:
        print("| " + " | ".join(row(spec, measured.get(spec.id))) + " |")


if __name__ == "__main__":
    main()
