"""Open data sets: published ones by name, anything else by folders or CSV.

Any other data is a folder of images with a folder of masks, matched by stem, or a CSV with the
columns image, mask, split.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from retq_hub import names
from retq_hub.dataset import Dataset, Sample, check_files, listed, read_rows, some
from retq_hub.errors import DatasetError, UsageError
from retq_hub.images import image_files
from retq_hub.manifest import Licence, Target
from retq_hub.published import PUBLISHED

__all__ = ["from_csv", "from_folders", "open_dataset"]


def open_dataset(name: str, folder: Path, *, target: str, split: str) -> Dataset:
    """Read a data set in its published layout.

    Args:
        name: One of `PUBLISHED`.
        folder: Where it lies.
        target: One of its targets.
        split: ``train``, ``test`` or ``all``.

    Raises:
        UsageError: There is no such data set, target or split.
        DatasetError: The folder is not laid out as published.
    """
    if name not in PUBLISHED:
        raise UsageError(f"there is no data set {name!r}", hint=f"there are {listed(PUBLISHED)}")
    reader, targets = PUBLISHED[name]
    if target not in targets:
        raise UsageError(f"{name} has no target {target!r}", hint=f"it has {listed(targets)}")
    if split not in ("train", "test", "all"):
        raise UsageError(f"there is no split {split!r}", hint="there are train, test and all")
    if not folder.is_dir():
        raise DatasetError(f"there is no folder {folder}", hint="check --data")
    found = reader(folder, target, split)
    if not found.samples:
        raise DatasetError(f"{folder} has no images in split {split}", hint="check --data")
    return found


def from_folders(images: Path, masks: Path, *, target: str, name: str) -> Dataset:
    """Pair a folder of images with a folder of masks by stem.

    A mask belongs to the image whose stem it has, or whose stem it has before ``_`` or ``-``:
    ``eye1.jpg`` goes with ``eye1.png`` or ``eye1_disc.png``. Where the folder of masks has a folder
    named like the target, the masks are those in there.

    Args:
        images: Folder of images.
        masks: Folder of masks.
        target: What the masks mark.
        name: What the data set is called.

    Raises:
        DatasetError: An image has no mask or several, or a mask no image; all are named.
    """
    slug = names.slug(target)
    masks = masks / slug if (masks / slug).is_dir() else masks
    for folder in (images, masks):
        if not folder.is_dir():
            raise DatasetError(f"there is no folder {folder}", hint="check the path")
    pictures, drawings = image_files(images), image_files(masks)
    if not pictures:
        raise DatasetError(f"{images} has no images", hint="they end in .jpg, .png, .tif or .bmp")
    stems = _unique_stems(pictures)
    owners: dict[str, list[Path]] = {stem: [] for stem in stems}
    orphans = []
    for drawing in drawings:
        owner = _owner(drawing.stem, owners)
        if owner is None:
            orphans.append(drawing.name)
        else:
            owners[owner].append(drawing)
    bare = [stem for stem, found in owners.items() if not found]
    many = [stem for stem, found in owners.items() if len(found) > 1]
    problems = (("images without a mask", bare), ("images with several masks", many))
    wrong = [f"{len(one)} {what} ({some(one)})" for what, one in problems if one]
    wrong += [f"{len(orphans)} masks without an image ({some(orphans)})"] if orphans else []
    if wrong:
        raise DatasetError(
            f"{images} and {masks} do not match: " + ", ".join(wrong),
            hint="name each mask like its image, or list the pairs in a CSV",
        )
    samples = tuple(
        Sample(id=stem, image=path, masks=tuple(owners[stem])) for stem, path in stems.items()
    )
    return _own(name, target, "all", samples)


def from_csv(path: Path, *, target: str, split: str, name: str) -> Dataset:
    """Read pairs from a CSV with the columns image, mask and, if wanted, split, id and group.

    A column named like the target takes the place of ``mask``.

    Paths are relative to the CSV; an empty mask means that the image does not show the target;
    several masks are separated by ``;``.

    Raises:
        DatasetError: Columns or files are missing, or the split is empty.
    """
    rows = read_rows(path, ("image",))
    column = names.slug(target) if rows and names.slug(target) in rows[0] else "mask"
    rows = read_rows(path, ("image", column))
    if split != "all" and rows and "split" not in rows[0]:
        raise DatasetError(f"{path} has no column 'split'", hint="add one, or use --split all")
    twins = Counter(Path(row["image"]).stem for row in rows)
    samples = tuple(
        Sample(
            id=row.get("id")
            or (row["image"] if twins[Path(row["image"]).stem] > 1 else Path(row["image"]).stem),
            image=path.parent / row["image"],
            masks=tuple(path.parent / one.strip() for one in row[column].split(";") if one.strip()),
            group=row.get("group") or row.get("camera") or "",
        )
        for row in rows
        if split in ("all", row.get("split"))
    )
    if not samples:
        raise DatasetError(f"{path} has no rows in split {split!r}", hint="check --split")
    check_files((one.files for one in samples), path)
    return _own(name, target, split, samples)


def _own(name: str, target: str, split: str, samples: tuple[Sample, ...]) -> Dataset:
    return Dataset(
        id=name,
        title=name,
        licence=Licence(id="LicenseRef-unknown"),
        target=Target(name=names.slug(target), label=target),
        split=split,
        samples=samples,
    )


def _unique_stems(paths: Sequence[Path]) -> dict[str, Path]:
    stems: dict[str, Path] = {}
    for path in paths:
        if path.stem in stems:
            raise DatasetError(
                f"{stems[path.stem]} and {path} have one stem", hint="give each image its own name"
            )
        stems[path.stem] = path
    return stems


def _owner(stem: str, owners: Mapping[str, object]) -> str | None:
    """Give the longest image stem that a mask's stem starts with, up to a separator."""
    parts = re.split(r"([_-])", stem)
    for end in range(len(parts), 0, -2):
        head = "".join(parts[:end])
        if head in owners:
            return head
    return None
