"""How long a backbone takes to load from the cache, and what it needs in memory.

A: timm builds the model and loads the very same safetensors file. B: retq does, checking the
digest of every byte. Weights are random, so that no download is needed; A and B take turns.
Memory is the peak of a process that loads the backbone and runs it over one photograph.

    python benchmarks/backbone_loading.py [--backbone ID] [--repeat N] [--json]
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from retq_hub import probe, registry, weights
from retq_hub.backbone import Backbone, PassKey
from retq_hub.encoder import expected_shapes
from retq_hub.spec import BackboneSpec
from retq_hub.weights import CachedWeights


def make_weights(spec: BackboneSpec, folder: Path) -> CachedWeights:
    generator = torch.Generator().manual_seed(0)
    state = {
        name: 0.02 * torch.randn(shape, generator=generator)
        for name, shape in expected_shapes(spec).items()
    }
    save_file(state, folder / "weights.safetensors")
    digest = weights.digest_of(state)
    return CachedWeights(path=folder / "weights.safetensors", digest=digest, origin="random")


def by_timm(spec: BackboneSpec, found: CachedWeights) -> torch.nn.Module:
    model = timm.create_model(spec.architecture.name, **spec.architecture.args)
    model.load_state_dict(load_file(found.path), strict=True)
    return model.eval()


def by_retq(spec: BackboneSpec, found: CachedWeights) -> Backbone:
    return Backbone(spec=spec, state=weights.load(found), weights_digest=found.digest)


def seconds(load: Callable[[BackboneSpec, CachedWeights], object], *arguments: object) -> float:
    began = time.perf_counter()
    load(*arguments)
    return time.perf_counter() - began


def segment(spec: BackboneSpec, found: CachedWeights) -> None:
    """Load the backbone, run it over one photograph, and print the peak of memory in bytes."""
    size = spec.preprocessing.size_px
    last = spec.tokens.layers - 1
    image = Image.fromarray(probe.probe_image(2048))
    by_retq(spec, found).tokens(image, {PassKey(size, 1, norm=True): (last,)}, embed=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--backbone", default="retfound-mae-nature-cfp")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--segment", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    spec = registry.backbone_spec(given.backbone)
    if given.segment:
        path, digest = given.segment
        segment(spec, CachedWeights(path=Path(path), digest=digest, origin="random"))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = make_weights(spec, Path(folder))
        runs = [
            (seconds(by_timm, spec, found), seconds(by_retq, spec, found))
            for _ in range(given.repeat + 1)
        ][1:]
        command = [sys.executable, __file__, "--backbone", spec.id, "--segment"]
        done = subprocess.run(
            [*command, str(found.path), found.digest],
            stdout=subprocess.PIPE,
            check=True,
            env=os.environ,
        )
        size = found.path.stat().st_size
    timm_s, retq_s = (statistics.median(one) for one in zip(*runs, strict=True))
    result = {
        "backbone": spec.id,
        "file_bytes": size,
        "timm_s": round(timm_s, 3),
        "retq_s": round(retq_s, 3),
        "ratio": round(retq_s / timm_s, 2),
        "peak_bytes": int(done.stdout),
    }
    if given.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{spec.id}, {size / 1e6:.0f} MB, median of {given.repeat}")
    print(f"timm builds and loads  {timm_s:6.2f} s")
    print(f"retq loads and checks  {retq_s:6.2f} s   {result['ratio']} x")
    print(
        f"peak memory, one photograph at {spec.preprocessing.size_px} px  "
        f"{result['peak_bytes'] / 2**30:.2f} GiB"
    )


if __name__ == "__main__":
    main()
