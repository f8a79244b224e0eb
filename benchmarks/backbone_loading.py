"""How long a backbone takes to load from the cache, and what it needs in memory.

A: timm builds the model and loads the very same safetensors file. B: retq does, checking the
digest of every byte. Weights are random, so that no download is needed; A and B take turns.
Memory is the peak of a process that loads the backbone and runs it over one photograph.

    python benchmarks/backbone_loading.py [--backbone ID] [--repeat N] [--quick] [--json]
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import timm
import torch
from ab import Report, compare, main
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


def segment(spec: BackboneSpec, found: CachedWeights) -> None:
    """Load the backbone, run it over one photograph, and print the peak of memory in bytes."""
    size = spec.preprocessing.size_px
    last = spec.tokens.layers - 1
    image = Image.fromarray(probe.probe_image(2048))
    by_retq(spec, found).tokens(image, {PassKey(size, 1, norm=True): (last,)}, embed=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def measure(options: argparse.Namespace) -> Report:
    spec = registry.backbone_spec(options.backbone)
    if options.segment:
        path, digest = options.segment
        segment(spec, CachedWeights(path=Path(path), digest=digest, origin="random"))
        sys.exit()
    with tempfile.TemporaryDirectory() as folder:
        made = make_weights(spec, Path(folder))
        found = compare(
            {"timm": lambda: by_timm(spec, made), "retq": lambda: by_retq(spec, made)},
            repeat=2 if options.quick else options.repeat,
        )
        command = [sys.executable, __file__, "--backbone", spec.id, "--segment"]
        done = subprocess.run(
            [*command, str(made.path), made.digest],
            stdout=subprocess.PIPE,
            check=True,
            env=os.environ,
        )
        size = made.path.stat().st_size
    report = Report(
        "Loading a backbone from the cache",
        what=f"`{spec.id}`, {size / 1e6:.0f} MB of random weights: timm builds the model and loads "
        "the file; retq does, and checks the digest of every byte.",
        how=f"{len(found.samples['timm'])} rounds, taking turns.",
    )
    report.add_times(found, against="timm")
    report.notes.append(
        f"Peak memory of a process that loads it and runs it over one photograph at "
        f"{spec.preprocessing.size_px} px: {int(done.stdout) / 2**30:.2f} GiB."
    )
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backbone", default="retfound-mae-nature-cfp")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--segment", nargs=2, help=argparse.SUPPRESS)
    main(measure, parser)
