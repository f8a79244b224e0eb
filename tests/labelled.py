"""Small photographs of three classes that differ in colour, with texts for them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from kinds import make_text, texted
from PIL import Image
from safetensors.torch import save_file
from tiny import random_state

from retq_hub.backbone import Backbone
from retq_hub.labels.labelset import LabelledSample, LabelSet
from retq_hub.manifest import Licence, Target, to_json
from retq_hub.storage import write_json

CLASSES = ("dark", "pale", "red")
_COLOURS = ((60, 40, 30), (210, 200, 190), (190, 60, 40))


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A tiny backbone with text on disk, and a text query of three classes for it."""

    spec: Path
    backbone: Backbone
    query: Path

    def lazy(self) -> Backbone:
        return Backbone.asleep(str(self.spec))


def make_clip(folder: Path, *, dense: bool = False) -> Clip:
    """Write the spec, the weights and the text query."""
    backbone = texted(dense=dense)
    save_file(random_state(backbone.spec), folder / "clip.safetensors")
    document = to_json(backbone.spec)
    document["sources"] = [{"kind": "file", "path": str(folder / "clip.safetensors")}]
    document |= {"weights_digest": None, "fingerprint": None}
    spec = folder / f"{backbone.spec.id}.json"
    write_json(spec, document)
    query = make_text(folder / "texts", backbone=backbone, name="texts", classes=CLASSES)
    return Clip(spec=spec, backbone=backbone, query=query)


def photograph(number: int, kind: int) -> Image.Image:
    """Draw a noisy photograph of a class."""
    rng = np.random.default_rng([number, kind])
    ground = np.array(_COLOURS[kind]) * rng.uniform(0.85, 1.15)
    return Image.fromarray((ground + rng.normal(0, 12, (64, 64, 3))).clip(0, 255).astype(np.uint8))


def make_labels(
    folder: Path, *counts: int, classes: tuple[str, ...] = CLASSES, scale: str = "multiclass"
) -> LabelSet:
    """Write so many photographs of each class and give them with their labels."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = []
    for kind, count in enumerate(counts):
        for number in range(count):
            path = folder / f"{CLASSES[kind]}{number}.png"
            photograph(number, kind).save(path)
            samples.append(LabelledSample(id=path.stem, image=path, label=(kind,)))
    return LabelSet(
        id="colours",
        title="Colours",
        licence=Licence(id="CC0-1.0", commercial_use=True),
        split="train",
        scale=scale,
        targets=tuple(Target(name=one, label=one) for one in classes),
        samples=tuple(samples),
        caveat="They are drawn.",
    )
