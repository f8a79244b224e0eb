"""A manifest in its folder: what ships is recognised by its digest, everything else is checked."""

import json
import shutil
from pathlib import Path

import pytest

from retq_hub import manifestfile
from retq_hub.embedded import REGISTRY
from retq_hub.errors import ManifestError

SHIPPED = sorted(path.parent for path in REGISTRY.glob("queries/*/*/retq.json"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a manifest that ships."""
    shutil.copyfile(SHIPPED[0] / "retq.json", tmp_path / "retq.json")
    return tmp_path


def changed(folder: Path, **members: object) -> None:
    path = folder / "retq.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | members))


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: "@".join(folder.parts[-2:]))
def test_what_ships_passes_the_schema_and_reads_the_same(folder: Path) -> None:
    assert manifestfile.read(folder) == manifestfile.read_anew(folder)


def test_a_copy_of_what_ships_is_known_wherever_it_lies(folder: Path) -> None:
    assert manifestfile.read(folder) == manifestfile.read(SHIPPED[0])


@pytest.mark.parametrize(
    ("members", "where"),
    [
        ({"version": "not a version"}, "version"),
        ({"name": "Not A Name"}, "name"),
        ({"backbone": {}}, "backbone"),
        ({"authors": 7}, "authors"),
    ],
)
def test_one_change_and_it_is_held_against_the_schema(
    folder: Path, members: dict[str, object], where: str
) -> None:
    changed(folder, **members)
    with pytest.raises(ManifestError) as caught:
        manifestfile.read(folder)
    assert any(where in one.where for one in caught.value.findings)


def test_a_valid_change_is_another_manifest(folder: Path) -> None:
    before = manifestfile.read(folder)
    changed(folder, summary="Something else.")
    after = manifestfile.read(folder)
    assert after.summary == "Something else."
    assert after.digest != before.digest
