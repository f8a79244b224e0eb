"""A tiny backbone with random weights, artifacts made for it, and registries of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from retq_hub import artifact, index, notices, probe, weights
from retq_hub.artifact import Golden
from retq_hub.backbone import Backbone
from retq_hub.basis import Basis, Pass
from retq_hub.channels import N_CHANNELS, pixel_channels
from retq_hub.encoder import expected_shapes
from retq_hub.grids import logit_map, pick
from retq_hub.manifest import (
    DataUse,
    Head,
    Interval,
    Licence,
    Measured,
    QueryManifest,
    Target,
    Training,
    from_json,
)
from retq_hub.plans import assemble, plan
from retq_hub.spec import BackboneSpec
from retq_hub.storage import write_json

SPEC = {
    "spec": "retq-backbone/1",
    "id": "tiny-vit",
    "title": "A tiny vision transformer",
    "summary": "Random weights, for tests.",
    "modality": "natural",
    "architecture": {
        "library": "timm",
        "name": "vit_tiny_patch16_224",
        "args": {"img_size": 64, "embed_dim": 32, "depth": 3, "num_heads": 2, "num_classes": 0},
    },
    "tokens": {
        "width": 32,
        "layers": 3,
        "prefix": 1,
        "patch_px": 16,
        "grid": 4,
        "candidates": [0, 1, 2],
    },
    "position_embedding": {"resize": "bicubic", "antialias": False},
    "preprocessing": {
        "size_px": 64,
        "resize": "bicubic",
        "antialias": True,
        "aspect": "stretch",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
    },
    "pooling": "class-token",
    "checkpoint": {"format": "timm"},
    "sources": [{"kind": "file", "path": "tiny.safetensors"}],
    "licence": {"id": "Apache-2.0", "commercial_use": True},
    "weights_digest": None,
    "fingerprint": None,
}


def random_state(spec: BackboneSpec, seed: int = 0) -> dict[str, Tensor]:
    """Draw weights that fit a spec; norms begin near one, as in a trained model."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: 0.2 * torch.randn(shape, generator=generator) + ("norm" in name and "weight" in name)
        for name, shape in expected_shapes(spec).items()
    }


@dataclass(frozen=True, kw_only=True, repr=False)
class Tiny:
    """The tiny backbone: its spec on disk, its weights, and itself."""

    path: Path
    spec: BackboneSpec
    state: Mapping[str, Tensor]
    backbone: Backbone

    def vit(self) -> torch.nn.Module:
        """Build it with timm alone, the reference that ours is compared with."""
        model = timm.create_model(self.spec.architecture.name, **self.spec.architecture.args)
        model.load_state_dict(dict(self.state))
        return model.eval().requires_grad_(False)


def make_tiny(folder: Path) -> Tiny:
    """Write the tiny backbone's weights and a spec that names them as its source."""
    spec = from_json(SPEC, BackboneSpec)
    state = random_state(spec)
    save_file(state, folder / "tiny.safetensors")
    path = write_spec(folder, source=folder / "tiny.safetensors")
    backbone = Backbone(spec=spec, state=state, weights_digest=weights.digest_of(state))
    return Tiny(path=path, spec=spec, state=state, backbone=backbone)


def write_spec(folder: Path, *, source: Path | None = None, **changes: object) -> Path:
    """Write a variant of the tiny backbone's spec and give its path."""
    document = SPEC | changes
    if source is not None:
        document["sources"] = [{"kind": "file", "path": str(source)}]
    path = folder / f"{document['id']}.json"
    write_json(path, document)
    return path


def make_query(
    folder: Path,
    *,
    backbone: Backbone,
    name: str = "tiny-disc",
    version: str = "1.0.0",
    layers: tuple[int, ...] = (1,),
    size_px: int = 64,
    targets: int = 1,
    seed: int = 0,
    summary: str = "Marks what a random vector marks.",
    measured: bool = True,
    basis: Basis | None = None,
    head: Head | None = None,
) -> Path:
    """Write a valid artifact with random vectors and give its folder."""
    basis = basis or Basis(passes=(Pass(size_px=size_px, tiles=1, layers=layers),), norm=True)
    generator = torch.Generator().manual_seed(seed)
    width = backbone.spec.tokens.width * len(basis.layers) + (N_CHANNELS if basis.pixels else 0)
    vector = torch.randn(targets, width, generator=generator) / width**0.5
    bias = torch.randn(targets, generator=generator)
    image = Image.fromarray(probe.probe_image(max(one.side_px for one in basis.passes)))
    blocks = assemble(backbone.tokens(image, plan([basis]))[0], basis)
    if basis.pixels:
        blocks.append(torch.from_numpy(pixel_channels(image)))
    logits = logit_map([block[None] for block in blocks], vector, bias)[0]
    cells = logits[0].numel()
    positions = np.arange(0, cells, max(3, cells // 16), dtype=np.int32)
    manifest = _manifest(name, version, summary, targets, backbone, basis)
    artifact.write(
        folder,
        manifest=replace(
            manifest, head=head or manifest.head, metrics=(_measured(),) if measured else ()
        ),
        vector=vector.numpy(),
        bias=bias.numpy(),
        golden=Golden(
            positions=positions,
            tokens=pick(blocks, torch.from_numpy(positions).long()).numpy(),
            logits=logits.contiguous().numpy(),
        ),
        card=f"# {name}\n",
    )
    return folder


def make_registry(
    folder: Path,
    *names: str,
    tiny: Tiny,
    yanked: tuple[str, ...] = (),
    **query: object,
) -> Path:
    """Make a registry of ``name@version`` queries for the tiny backbone and give its folder."""
    (folder / "backbones").mkdir(parents=True)
    (folder / "backbones" / tiny.path.name).write_text(tiny.path.read_text())
    for one in names:
        name, _, version = one.partition("@")
        place = folder / "queries" / name / version
        make_query(place, name=name, version=version, backbone=tiny.backbone, **query)
    for one in yanked:
        notices.yank(folder, one, "Marks too much.")
    index.write(folder, index.build(folder))
    return folder


def _manifest(
    name: str, version: str, summary: str, targets: int, backbone: Backbone, basis: Basis
) -> QueryManifest:
    licence = Licence(id="CC0-1.0", commercial_use=True)
    return QueryManifest(
        name=name,
        version=version,
        summary=summary,
        targets=tuple(Target(name=f"t{n}", label=f"target {n}") for n in range(targets)),
        backbone=backbone.ref,
        basis=basis,
        head=Head(activation="sigmoid", thresholds=(0.5,) * targets, threshold_choice="half"),
        training=Training(
            recipe="random", loss="none", l2=0.0, seed=0, selection="given", versions={"torch": "2"}
        ),
        data=(
            DataUse(
                id="nothing",
                title="No data at all",
                licence=licence,
                split="train",
                split_digest="0" * 64,
                n_images=1,
                n_positive=(0,) * targets,
            ),
        ),
        metrics=(),
        licence=licence,
        authors=("Nobody",),
        intended_use="Tests.",
        limits="It marks nothing in particular.",
        files={},
    )


def _measured() -> Measured:
    names = ("auroc", "auprc", "dice", "iou", "dice_at_0.5", "iou_at_0.5")
    return Measured(
        dataset="nothing",
        split="test",
        split_digest="0" * 64,
        target="t0",
        n_images=1,
        size_px=64,
        threshold=0.5,
        values={name: Interval(mean=0.5, min=0.25, max=0.75, ci95=(0.3, 0.7)) for name in names},
    )
