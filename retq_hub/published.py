"""Data sets in the layout in which they are published: IDRiD and HVDROPDB.

Source: Porwal et al., doi:10.3390/data3030025; Agrawal et al., doi:10.1016/j.dib.2023.109839.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from retq_hub.dataset import Dataset, Sample, check_files, read_rows, some
from retq_hub.errors import DatasetError
from retq_hub.manifest import Concept, Licence, Target

__all__ = ["CC_BY", "IDRID_CITATION", "IDRID_SPLITS", "PUBLISHED", "Reader", "concept"]

Reader = Callable[[Path, str, str], Dataset]
"""Reads a folder for a target and a split."""

_SNOMED = "http://snomed.info/sct"
CC_BY = Licence(
    id="CC-BY-4.0",
    name="Creative Commons Attribution 4.0 International",
    url="https://creativecommons.org/licenses/by/4.0/",
    commercial_use=True,
)
"""The licence of both data sets."""

IDRID_CITATION = (
    "Porwal, Pachade, Kokare et al., Indian Diabetic Retinopathy Image Dataset (IDRiD), "
    "Data 3(3):25, 2018, doi:10.3390/data3030025"
)
"""How IDRiD wants to be cited."""

_IDRID_FOLDERS = {
    "ma": ("1. Microaneurysms", "MA"),
    "he": ("2. Haemorrhages", "HE"),
    "ex": ("3. Hard Exudates", "EX"),
    "se": ("4. Soft Exudates", "SE"),
    "disc": ("5. Optic Disc", "OD"),
}
_IDRID_OPTIONAL = ("he", "se")
"""A missing file of these says that the image shows none; the others are complete."""

IDRID_SPLITS = {"train": "a. Training Set", "test": "b. Testing Set"}
"""Folder of each split, in all of IDRiD's parts."""


def concept(code: str, display: str) -> Concept:
    """Give a SNOMED CT concept."""
    return Concept(system=_SNOMED, code=code, display=display)


_IDRID_TARGETS = {
    "disc": Target(name="disc", label="optic disc", code=concept("81016008", "Optic disc")),
    "lesions": Target(
        name="lesions",
        label="lesions of diabetic retinopathy",
        code=concept("4855003", "Retinopathy due to diabetes mellitus"),
    ),
    "ma": Target(
        name="ma",
        label="microaneurysms",
        code=concept("25412000", "Microaneurysm of retinal artery due to diabetes mellitus"),
    ),
    "he": Target(name="he", label="haemorrhages", code=concept("28998008", "Retinal hemorrhage")),
    "ex": Target(name="ex", label="hard exudates", code=concept("39832008", "Retinal exudates")),
    "se": Target(name="se", label="soft exudates"),
}


def _idrid(folder: Path, target: str, split: str) -> Dataset:
    root = folder / "A. Segmentation" if (folder / "A. Segmentation").is_dir() else folder
    pictures, truths = root / "1. Original Images", root / "2. All Segmentation Groundtruths"
    if not pictures.is_dir() or not truths.is_dir():
        raise DatasetError(
            f"{folder} is not laid out like IDRiD's part A: it has no '1. Original Images' "
            "beside '2. All Segmentation Groundtruths'",
            hint="name the folder 'A. Segmentation' of the archive, or the one above",
        )
    kinds = ["ma", "he", "ex", "se"] if target == "lesions" else [target]
    samples: list[Sample] = []
    absent: list[str] = []
    for part, name in IDRID_SPLITS.items():
        if split not in ("all", part):
            continue
        for kind in kinds:
            if not (truths / name / _IDRID_FOLDERS[kind][0]).is_dir():
                raise DatasetError(
                    f"{folder} is not complete: it has no {name}/{_IDRID_FOLDERS[kind][0]}",
                    hint="unpack the archive again",
                )
        for image in sorted((pictures / name).glob("IDRiD_*.jpg")):
            places = [(truths / name / _IDRID_FOLDERS[kind][0], kind) for kind in kinds]
            files = [
                place / f"{image.stem}_{_IDRID_FOLDERS[kind][1]}.tif" for place, kind in places
            ]
            masks = tuple(file for file in files if file.is_file())
            absent += [] if masks or target in _IDRID_OPTIONAL else [image.name]
            samples.append(Sample(id=image.stem, image=image, masks=masks))
    if absent:
        raise DatasetError(
            f"{folder} lacks the {target} masks of {len(absent)} images ({some(absent)})",
            hint="unpack the archive again",
        )
    return Dataset(
        id=f"idrid-{target}",
        title="IDRiD, part A (segmentation)",
        licence=CC_BY,
        target=_IDRID_TARGETS[target],
        split=split,
        samples=tuple(samples),
        doi="10.21227/H25W98",
        citation=IDRID_CITATION,
    )


_RIDGE = Target(
    name="ridge",
    label="ridge of retinopathy of prematurity",
    code=concept("415297005", "Retinopathy of prematurity"),
)
_HVDROPDB_CITATION = (
    "Agrawal, Walambe, Kotecha et al., HVDROPDB datasets for research in retinopathy of "
    "prematurity, Data in Brief 52:109839, 2024, doi:10.1016/j.dib.2023.109839"
)
_RIDGE_TEST: Mapping[str, frozenset[int]] = {
    "Neo": frozenset({2, 3, 4, 5, 12, 19, 21, 24, 25, 27, 35, 37}),
    "RetCam": frozenset({2, 6, 8, 14, 17, 21, 28, 29, 30, 35, 39, 40, 42}),
}
"""Images held out for testing: HVDROPDB has no split of its own, this is the project's."""


def _hvdropdb(folder: Path, target: str, split: str) -> Dataset:
    index = folder / "index.csv"
    samples = _ridge_index(index, split) if index.is_file() else _ridge_layout(folder, split)
    return Dataset(
        id="hvdropdb-ridge",
        title="HVDROPDB, ridge",
        licence=CC_BY,
        target=_RIDGE,
        split=split,
        samples=samples,
        caveat="It names no patients: images of one infant may lie in training and test split.",
        doi="10.17632/xw5xc7xrmp.3",
        citation=_HVDROPDB_CITATION,
    )


def _ridge_index(index: Path, split: str) -> tuple[Sample, ...]:
    samples = tuple(
        Sample(
            id=row["id"],
            image=index.parent / row["image"],
            masks=(index.parent / row["mask"],),
            group=row["camera"],
        )
        for row in read_rows(index, ("id", "camera", "split", "image", "mask"))
        if split in ("all", row["split"])
    )
    check_files((one.files for one in samples), index)
    return samples


def _ridge_layout(folder: Path, split: str) -> tuple[Sample, ...]:
    roots = [path.parent for path in sorted(folder.rglob("*_Ridge_images")) if path.is_dir()]
    if not roots:
        raise DatasetError(
            f"{folder} is not laid out like HVDROPDB: it has neither index.csv nor a folder "
            "'HVDROPDB-RIDGE' with 'Neo_Ridge_images' and 'RetCam_Ridge_images'",
            hint="name the folder HVDROPDB-RIDGE or one above",
        )
    samples = []
    for camera, held_out in _RIDGE_TEST.items():
        if not (roots[0] / f"{camera}_Ridge_images").is_dir():
            raise DatasetError(
                f"{roots[0]} is not complete: it has no {camera}_Ridge_images",
                hint="unpack the archive again",
            )
        for image in sorted((roots[0] / f"{camera}_Ridge_images").glob("*.png"), key=_number):
            part = "test" if _number(image) in held_out else "train"
            mask = roots[0] / f"{camera}_Ridge_masks" / image.name
            if split in ("all", part):
                name = f"{camera}_Ridge_{_number(image):02d}"
                samples.append(Sample(id=name, image=image, masks=(mask,), group=camera))
    check_files((one.files for one in samples), folder)
    return tuple(samples)


def _number(path: Path) -> int:
    return int(path.stem) if path.stem.isdigit() else 0


PUBLISHED: Mapping[str, tuple[Reader, Mapping[str, Target]]] = {
    "hvdropdb": (_hvdropdb, {"ridge": _RIDGE}),
    "idrid": (_idrid, _IDRID_TARGETS),
}
"""Reader and targets of each data set that is read in its published layout."""
