"""How long a fresh process takes until its first mask is there, and what it does in that time.

    python benchmarks/startup.py [--quick] [--json]

A: import PyTorch, let timm build the backbone and load its weights, run one pass; no image is read,
no query applied, nothing checked. B: `Pipeline` in Python, from the photograph to the mask at its
own size. C: the same on OpenVINO, whose graph lies in the cache. D: `retq segment` of the
photograph, files and overlay written. The backbone's weights lie in the cache (`retq backbones
fetch` puts them there); B, C and D verify what they load byte by byte.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ab import Comparison, Report, Skipped, Spread, compare, duration, main

QUERY = "idrid-disc"
PHOTOGRAPH = Path(__file__).resolve().parent.parent / "examples" / "retina.jpg"
MOST = 1.6
PARTS = ("bare", "pipeline")
ON_A_GRAPH = f"""
from retq_hub import Pipeline
pipe = Pipeline.from_pretrained([{QUERY!r}], engine="openvino", embed=False)
assert pipe({str(PHOTOGRAPH)!r})[{QUERY!r}].mask.any()
"""


def measure(options: argparse.Namespace) -> Report:
    if options.part:
        print(json.dumps({"bare": bare, "pipeline": pipeline}[options.part](options.weights)))
        sys.exit()
    weights = cached_weights()
    phases: dict[str, list[dict[str, float]]] = {part: [] for part in PARTS}
    with tempfile.TemporaryDirectory() as scratch:

        def child(part: str) -> Callable[[], None]:
            return lambda: phases[part].append(json.loads(run(__file__, "--part", part, weights)))

        segment = ("segment", str(PHOTOGRAPH), "-q", QUERY, "-o", scratch, "--force")
        found = compare(
            {
                "PyTorch, timm, one pass": child("bare"),
                "Pipeline: first mask": child("pipeline"),
                "Pipeline on OpenVINO": lambda: run("-W", "ignore", "-c", ON_A_GRAPH),
                "retq segment": lambda: run("-m", "retq_hub.cli", *segment),
            },
            repeat=2 if options.quick else 5,
        )
    return reported(found, phases)


def reported(found: Comparison, phases: dict[str, list[dict[str, float]]]) -> Report:
    base, first, graph, segment = found.samples
    report = Report(
        "First mask of a fresh process",
        what=f"From the start of a process to its end: PyTorch imported, the model built by timm, "
        f"its weights loaded and one pass run; `Pipeline` up to the mask of `{QUERY}` at the "
        "photograph's own size; `retq segment` of one photograph, mask and overlay on disk.",
        how=f"{len(found.samples[base])} rounds, taking turns; the weights' digest is checked in "
        "all but the first. Files are in the system's cache. The least that a mask could need is "
        "`import torch`, timm's building and one pass, without the import of timm itself, which "
        "imports torchvision, and that PyTorch's compiler.",
    )
    report.add_times(found, against=base, cost=True)
    for part, title in zip(PARTS, (base, first), strict=True):
        rows = [
            (name, duration(statistics.median(one[name] for one in phases[part])))
            for name in phases[part][0]
        ]
        report.add_table(("phase", "median"), rows, caption=f"{title}, phase by phase:")
    least = [
        one["import torch"] + one["build"] + one["load"] + one["one pass"]
        for one in phases["bare"][-len(found.samples[base]) :]
    ]
    for name in (first, segment):
        report.add_target(f"{name} / {base}", found.ratio(name, base), at_most=MOST)
    for name in (first, graph, segment):
        ratio = Spread.of(x / y for x, y in zip(found.samples[name], least, strict=True))
        report.add_target(f"{name} / the least", ratio, at_most=MOST)
    return report


def cached_weights() -> str:
    """Give the default backbone's weights file.

    Raises:
        Skipped: It is not in the cache.
    """
    from retq_hub import registry, weightfile

    found = weightfile.cached(registry.backbone_spec(registry.DEFAULT_BACKBONE))
    if found is None:
        raise Skipped(f"no weights: `retq backbones fetch {registry.DEFAULT_BACKBONE}`")
    return str(found.path)


class Phases:
    """Seconds by phase, one after the other."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def end(self, name: str) -> None:
        """Count the time since the last phase's end for this one."""
        now = time.perf_counter()
        self.seconds[name], self._last = now - self._last, now


def bare(weights: str) -> dict[str, float]:
    """Do what nobody can do without: what the others are measured by."""
    phases = Phases()
    import torch

    phases.end("import torch")
    import timm

    phases.end("import timm")
    model = timm.create_model("vit_small_patch14_dinov2", img_size=518, num_classes=0).eval()
    phases.end("build")
    from safetensors.torch import load_file

    model.load_state_dict(load_file(weights))
    model.set_input_size((392, 392))
    phases.end("load")
    with torch.inference_mode():
        model(torch.zeros(1, 3, 392, 392))
    phases.end("one pass")
    return phases.seconds


def pipeline(_: str) -> dict[str, float]:
    """Do what `Pipeline` does, in the order in which it does it."""
    phases = Phases()
    import torch  # noqa: F401 - its time is looked at by itself

    phases.end("import torch")
    import timm  # noqa: F401 - as above

    phases.end("import timm")
    from retq_hub import Pipeline, registry, weights
    from retq_hub.backbone import Backbone
    from retq_hub.progress import Silent

    pipeline_class = Pipeline
    phases.end("import retq_hub")
    spec = registry.backbone_spec(registry.DEFAULT_BACKBONE)
    cached = weights.ensure(spec, progress=Silent())
    state = weights.load(cached)
    phases.end("load and verify the weights")
    backbone = Backbone(spec=spec, state=state, weights_digest=cached.digest)
    phases.end("build")
    made = pipeline_class.from_pretrained([QUERY], backbone=backbone, embed=False)
    phases.end("load and verify the query")
    result = made(PHOTOGRAPH)
    phases.end("decode, resize, one pass, query")
    assert result[QUERY].mask.any()
    phases.end("mask at the photograph's size")
    return phases.seconds


def run(*arguments: str) -> str:
    """Run Python to its end and give what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments], check=True, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    return done.stdout


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("weights", nargs="?", help=argparse.SUPPRESS)
    main(measure, parser)
