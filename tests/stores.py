"""Small stores for tests: three eyes, the tiny backbone's tokens."""

from pathlib import Path

from eyes import make_folders

from retq_hub.backbone import Backbone
from retq_hub.basis import Basis, Pass
from retq_hub.channels import METHOD
from retq_hub.plans import plan
from retq_hub.preparation import Needs
from retq_hub.segment import find_images
from retq_hub.store.intake import embed
from retq_hub.store.store import Store

RICH = Basis(
    passes=(
        Pass(size_px=64, tiles=2, layers=(1, 0), overlap_px=16),
        Pass(size_px=64, tiles=1, layers=(2,)),
    ),
    norm=True,
    views=("plain", "mirrored"),
    pixels=METHOD,
)

RICH_NEEDS = Needs(plan=plan([RICH]), embed=True, channels=True, guides=(48,))


def eyes(folder: Path, count: int = 3) -> list[Path]:
    """Draw some eyes and give their files."""
    return sorted(make_folders(folder / "data", count)[0].iterdir())


def make_store(folder: Path, images: list[Path], backbone: Backbone, needs: Needs) -> Store:
    """Put images into a store."""
    embed(backbone, find_images([str(one) for one in images]), folder, needs)
    return Store(folder)
