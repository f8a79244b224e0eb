"""What does a photograph show, and where? Asked in words; nothing is trained.

python examples/zero_shot_text.py --backbone flair --tokenizer FOLDER examples/retina.jpg

FOLDER holds the vocabulary of FLAIR's text encoder; docs/text.md says where it is had. The answer
is worth what the backbone is worth, and was measured on no image here.
"""

import argparse
from pathlib import Path

from retq_hub import Pipeline
from retq_hub.texts.compilation import compile_text
from retq_hub.texts.wording import Wording

TARGETS = (
    Wording(label="hard exudates", prompts=("hard exudates", "waxy yellow spots")),
    Wording(label="microaneurysms", prompts=("microaneurysms", "tiny round red dots")),
    Wording(label="healthy", prompts=("a healthy retina", "no sign of disease")),
)


def main() -> None:
    """Make an artifact of words and apply it to a photograph."""
    parser = argparse.ArgumentParser(description="Ask a photograph in words.")
    parser.add_argument("image", type=Path)
    parser.add_argument("--backbone", default="flair", help="id or spec, one with a text encoder")
    parser.add_argument("--tokenizer", type=Path, help="folder with its vocabulary")
    parser.add_argument("--output", type=Path, default=Path("zero-shot"), help="artifact's folder")
    asked = parser.parse_args()

    compile_text(
        TARGETS,
        asked.output,
        backbone=asked.backbone,
        name="zero-shot",
        tokenizer=asked.tokenizer,
    )
    pipe = Pipeline.from_pretrained([asked.output], backbone=asked.backbone)
    found = pipe(asked.image)["zero-shot"]
    areas = found.mask.mean(axis=(1, 2))
    for target, whole, area in zip(TARGETS, found.probabilities, areas, strict=True):
        print(f"{target.label:16} {whole:6.1%} of the whole, most probable in {area:6.1%} of it")
    print(f"prediction: {found.prediction}")


if __name__ == "__main__":
    main()
