"""Small text encoders with random weights, in upstream's form of checkpoint, and how to use them.

`golden/text/*.json` says how large they are, and what upstream's own code gives for them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import upstream

from retq_hub import registry
from retq_hub.manifest import to_json
from retq_hub.storage import write_json
from retq_hub.texts.wording import Wording

FOLDER = Path(__file__).parent / "golden"
FAMILIES = ("biomedclip", "clip-vit-b16", "flair")
IMAGE_PARTS = {"flair": "vision_model.", "clip-vit-b16": "visual.", "biomedclip": "visual."}
"""How the image encoder's tensors begin in upstream's checkpoints."""


@dataclass(frozen=True, kw_only=True)
class SmallText:
    """A small backbone with a text encoder: its spec, its checkpoint, its tokenizer's folder."""

    golden: dict[str, Any]
    spec: Path
    checkpoint: Path
    tokenizer: Path

    @property
    def targets(self) -> list[Wording]:
        """What the golden numbers are of."""
        return [
            Wording(label=label, prompts=tuple(prompts))
            for label, prompts in self.golden["targets"].items()
        ]


def make_small(family: str, folder: Path, **changes: object) -> SmallText:
    """Write spec, checkpoint and vocabulary of a small text encoder.

    Args:
        family: One of `FAMILIES`.
        folder: Where.
        changes: Members of the spec's ``text`` that are to differ.
    """
    golden = json.loads((FOLDER / "text" / f"{family}.json").read_text())
    shapes = golden["tensors"] | {
        name: shape
        for name, shape in json.loads((FOLDER / f"{family}.json").read_text())["tensors"].items()
        if name.startswith(IMAGE_PARTS[family])
    }
    checkpoint = folder / f"{family}.pth"
    torch.save(upstream.state(shapes), checkpoint)
    document = to_json(registry.backbone_spec(family))
    document |= {"weights_digest": None, "fingerprint": None}
    document["sources"] = [{"kind": "file", "path": str(checkpoint)}]
    if golden["depth"] is not None:
        document["architecture"]["args"]["depth"] = golden["depth"]
    text = document["text"]
    own = {
        key: golden["config"][key] for key in ("layers", "projection") if key in golden["config"]
    }
    rest = {key: value for key, value in golden["config"].items() if key not in own}
    text |= own | changes
    text["config"] |= rest
    text["tokenizer"].pop("digest", None)
    write_json(folder / f"{family}.json", document)
    words = folder / "tokenizer"
    words.mkdir()
    lines = golden["vocabulary"]
    if text["tokenizer"]["kind"] == "bpe":
        (words / "merges.txt").write_text("\n".join(["#version: 0.2", *lines]) + "\n")
    else:
        (words / "vocab.txt").write_text("\n".join(lines) + "\n")
    return SmallText(
        golden=golden, spec=folder / f"{family}.json", checkpoint=checkpoint, tokenizer=words
    )
