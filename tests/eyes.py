"""Small synthetic photographs with masks, in the shapes in which people keep them."""

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (120, 96)


def draw(number: int) -> tuple[Image.Image, Image.Image]:
    """Draw a dark red ground with a bright spot somewhere, and the spot's mask."""
    rng = np.random.default_rng(number)
    width, height = SIZE
    y, x = np.mgrid[:height, :width]
    column, row = rng.uniform(20, width - 20), rng.uniform(20, height - 20)
    spot = (x - column) ** 2 + (y - row) ** 2 < 14**2
    pixels = np.where(spot[..., None], (250, 220, 140), (120, 50, 25))
    noisy = (pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(noisy), Image.fromarray(spot)


def make_folders(root: Path, count: int = 8) -> tuple[Path, Path]:
    """Write images and masks into two folders."""
    images, masks = root / "images", root / "masks"
    images.mkdir(parents=True)
    masks.mkdir()
    for number in range(count):
        image, mask = draw(number)
        image.save(images / f"eye{number}.png")
        mask.save(masks / f"eye{number}_spot.png")
    return images, masks


def make_csv(root: Path, count: int = 8, n_test: int = 3) -> Path:
    """Write images and masks, and a CSV that gives the last ones to the test split."""
    make_folders(root, count)
    lines = ["image,mask,split"]
    for number in range(count):
        split = "test" if number >= count - n_test else "train"
        lines.append(f"images/eye{number}.png,masks/eye{number}_spot.png,{split}")
    (root / "eyes.csv").write_text("\n".join(lines) + "\n")
    return root / "eyes.csv"
