import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support_core import (
    assert_clear,
    edit_manifest,
    manifest,
    on_a_full_disk,
    pin,
    repack,
    tensors,
    write_small,
)

from retq_hub import artifact
from retq_hub.artifact import CARD, GOLDEN, MANIFEST, PICTURE, QUERY
from retq_hub.digest import file_digest
from retq_hub.errors import IntegrityError, ManifestError, NotFoundError, RetqError

FROZEN = {
    QUERY: "2689d00c08e165ccedeb41cbdc6009c87362f1382311e08b50b4054b4689e39b",
    GOLDEN: "3d38ca4ca0b71e65505bab855965a01155a7732c2f467c441cc09272b590ef88",
    MANIFEST: "1d104b0f37b9c8f1bbaf5641e323cf11817491d25ce8c6a126f0d8db0a9ce8e8",
}
FROZEN_DIGEST = "17f3c36ab8403d2b02ace7d8ec5fa7081f33196155e48e227047c119fd0f2f2a"


def framed(header: bytes, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + body


def query_as(dtype: str, end: int, body: int = 32) -> bytes:
    header = {"query": {"dtype": dtype, "shape": [1, 8], "data_offsets": [0, end]}}
    return framed(json.dumps(header).encode(), bytes(body))


def pinned(name: str, blob: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda folder: pin(folder, name, blob((folder / name).read_bytes()))


def packed(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: repack(folder, changes)


def edited(**members: Any) -> Callable[[Path], None]:
    return lambda folder: edit_manifest(folder, **members)


def flip(folder: Path) -> None:
    blob = bytearray((folder / QUERY).read_bytes())
    blob[-1] ^= 1
    (folder / QUERY).write_bytes(blob)


def shorten(folder: Path) -> None:
    (folder / QUERY).write_bytes((folder / QUERY).read_bytes()[:-4])


def folder_for_file(folder: Path) -> None:
    (folder / QUERY).unlink()
    (folder / QUERY).mkdir()


def wrong_size(folder: Path) -> None:
    files = json.loads((folder / MANIFEST).read_text())["files"]
    files[QUERY]["size"] += 1
    edit_manifest(folder, files=files)


def as_pickle(folder: Path) -> None:
    pin(folder, QUERY, b"\x80\x04\x95" + bytes(50))


def with_value(name: str, value: float) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        vector, bias, golden = tensors()
        found = {"query": vector, "bias": bias, "tokens": golden.tokens, "logits": golden.logits}
        found[name].flat[0] = value
        repack(folder, {name: found[name]})

    return change


F32, I32 = np.float32, np.int32
HEAD = {"activation": "sigmoid", "threshold_choice": "given"}
PLATT = {"method": "platt", "ece": [0], "ece_before": [0], "scale": [1], "offset": [0]}
ISOTONIC = {"method": "isotonic", "ece": [0], "ece_before": [0]}
FALLING_KNOTS = [[0, 0], [2, 1], [1, 2]]
DISC = {"name": "disc", "label": "disc"}

TAMPERED: dict[str, tuple[Callable[[Path], None], str]] = {
    "flipped bit": (flip, "digest"),
    "cut file": (shorten, "digest"),
    "missing file": (lambda folder: (folder / QUERY).unlink(), "missing"),
    "folder for a file": (folder_for_file, QUERY),
    "size that lies": (wrong_size, "size"),
    "pickle": (as_pickle, "safetensors"),
    "empty safetensors": (pinned(QUERY, lambda _: b"\0"), "safetensors"),
    "truncated safetensors": (pinned(QUERY, lambda blob: blob[:-4]), "safetensors"),
    "header beyond the end": (
        pinned(QUERY, lambda blob: struct.pack("<Q", 2**40) + blob[8:]),
        "safetensors",
    ),
    "header that is no json": (pinned(QUERY, lambda _: framed(b"[[[[")), "safetensors"),
    "offsets that lie": (pinned(QUERY, lambda _: query_as("F32", 2**30)), "safetensors"),
    "bfloat16": (pinned(QUERY, lambda _: query_as("BF16", 16, body=16)), QUERY),
    "unknown dtype": (pinned(QUERY, lambda _: query_as("F12", 32)), "safetensors"),
    "nan in the vector": (with_value("query", np.nan), "finite"),
    "infinite bias": (with_value("bias", np.inf), "finite"),
    "nan in golden tokens": (with_value("tokens", np.nan), "finite"),
    "overflowing vector": (with_value("query", 3e38), GOLDEN),
    "other golden logit": (with_value("logits", -0.98), "deviates"),
    "other bias": (packed(bias=np.zeros(1, F32)), "deviates"),
    "vector without targets": (packed(query=np.zeros(8, F32)), "query"),
    "vector of two targets": (packed(query=np.zeros((2, 8), F32)), "query"),
    "vector of no floats": (
        packed(query=np.zeros((1, 0), F32), tokens=np.zeros((3, 0), F32)),
        "query",
    ),
    "scalar vector": (packed(query=np.zeros((), F32)), "query"),
    "double vector": (packed(query=np.zeros((1, 8), np.float64)), "float64"),
    "bias of two targets": (packed(bias=np.zeros(2, F32)), "bias"),
    "tokens of other width": (packed(tokens=np.zeros((3, 7), F32)), "tokens"),
    "logits not square": (packed(logits=np.zeros((1, 3, 4), F32)), "logits"),
    "position off the grid": (packed(positions=np.array([0, 4, 9], I32)), "positions"),
    "negative position": (packed(positions=np.array([0, 4, -1], I32)), "positions"),
    "no positions": (
        packed(positions=np.zeros(0, I32), tokens=np.zeros((0, 8), F32)),
        "positions",
    ),
    "tensor too many": (packed(extra=np.zeros(1, F32)), "extra"),
    "tensor missing": (packed(bias=None), "bias"),
    "layers that do not divide": (
        edited(basis={"norm": True, "passes": [{"size_px": 42, "tiles": 1, "layers": [1, 2, 3]}]}),
        "3 layers",
    ),
    "threshold too many": (edited(head=HEAD | {"thresholds": [0.5, 0.5]}), "2 thresholds"),
    "calibration of another number of targets": (
        edited(head=HEAD | {"thresholds": [0.5], "calibration": PLATT | {"offset": [0, 0]}}),
        "calibration/offset",
    ),
    "knots that do not rise": (
        edited(
            head=HEAD | {"thresholds": [0.5], "calibration": ISOTONIC | {"knots": [FALLING_KNOTS]}}
        ),
        "does not rise",
    ),
    "knots of two targets": (
        edited(
            head=HEAD
            | {"thresholds": [0.5], "calibration": ISOTONIC | {"knots": [[[0, 0], [1, 1]]] * 2}}
        ),
        "calibration/knots",
    ),
    "tiles that do not make the grid": (
        edited(basis={"norm": True, "passes": [{"size_px": 16, "tiles": 2, "layers": [1, 2]}]}),
        "32 pixels do not make a grid of 3 x 3",
    ),
    "pixels in a vector that is too short": (
        edited(
            basis={
                "norm": True,
                "passes": [{"size_px": 42, "tiles": 1, "layers": [1, 2, 3]}],
                "pixels": "retq-pixels-1",
            }
        ),
        "query",
    ),
    "target name twice": (edited(targets=[DISC, DISC]), "twice"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_small(tmp_path / "small")
    return tmp_path / "small"


def test_an_artifact_reads_back_as_it_was_written(tmp_path: Path):
    written = write_small(tmp_path / "new" / "small", targets=2)
    vector, bias, golden = tensors(targets=2)
    found = artifact.read(tmp_path / "new" / "small")
    assert found.manifest == written == artifact.read_manifest(tmp_path / "new" / "small")
    for one, other in (
        (found.vector, vector),
        (found.bias, bias),
        (found.golden.positions, golden.positions),
        (found.golden.tokens, golden.tokens),
        (found.golden.logits, golden.logits),
    ):
        np.testing.assert_array_equal(one, other, strict=True)
    assert artifact.findings(tmp_path / "new" / "small") == []


def test_writing_twice_gives_the_same_bytes(tmp_path: Path):
    for name in ("one", "two"):
        write_small(tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted([CARD, GOLDEN, QUERY, MANIFEST])
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_format_has_not_changed(folder: Path):
    assert {name: file_digest(folder / name) for name in FROZEN} == FROZEN
    assert artifact.read_manifest(folder).digest == FROZEN_DIGEST


def test_the_memory_layout_of_arrays_does_not_matter(tmp_path: Path):
    vector, bias, golden = tensors(targets=2)
    strided = np.repeat(vector, 2, axis=0)[::2]
    for name, layout in (("c", vector), ("f", np.asfortranarray(vector)), ("s", strided)):
        artifact.write(
            tmp_path / name,
            manifest=manifest(targets=2),
            vector=layout,
            bias=bias,
            golden=golden,
            card="",
        )
    assert len({file_digest(tmp_path / name / QUERY) for name in "cfs"}) == 1


def test_writing_replaces_an_older_artifact_and_keeps_what_else_lies_there(folder: Path):
    (folder / "notes.txt").write_text("mine")
    (folder / "more").mkdir()
    write_small(folder, version="2.0.0")
    assert artifact.read(folder).manifest.version == "2.0.0"
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "more").is_dir()


def test_a_manifest_that_breaks_its_schema_is_not_written(folder: Path):
    with pytest.raises(ManifestError) as caught:
        write_small(folder, name="Bad Name", version="one", authors=())
    assert_clear(caught.value, 6, "3 findings", "name", "version", "authors")
    assert artifact.read(folder).manifest.name == "small-disc"


def test_a_full_disk_leaves_the_old_artifact(folder: Path):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    script = """
from retq_hub.errors import StorageError
from support_core import write_small
try:
    write_small(Path(sys.argv[1]), version="2.0.0", limits="long " * 1000)
except StorageError as error:
    print(error.exit_code)
"""
    assert on_a_full_disk(script, folder, limit=2048) == "7\n"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("case", TAMPERED)
def test_a_tampered_artifact_is_refused(folder: Path, case: str):
    tamper, word = TAMPERED[case]
    tamper(folder)
    with pytest.raises(IntegrityError) as caught:
        artifact.read(folder)
    assert_clear(caught.value, 4, word)
    assert word in "; ".join(map(str, artifact.findings(folder)))


def test_golden_logits_are_compared_at_their_positions_within_a_tolerance(folder: Path):
    logits = tensors()[2].logits + np.float32(5e-4)
    logits[0, 0, 1] += 1
    repack(folder, {"logits": logits})
    assert artifact.findings(folder) == []
    logits[0, 1, 1] += 1
    repack(folder, {"logits": logits})
    assert len(artifact.findings(folder)) == 1


def test_a_manifest_broken_in_three_places_is_reported_once(folder: Path):
    edit_manifest(folder, version="one", limits="", surplus=1)
    with pytest.raises(ManifestError) as caught:
        artifact.read(folder)
    assert_clear(caught.value, 6, "3 findings", "version", "limits", "surplus")
    places = [one.where for one in artifact.findings(folder)]
    assert sorted(places) == ["retq.json/(top level)", "retq.json/limits", "retq.json/version"]


def test_independent_faults_are_all_found_at_once(folder: Path):
    with_value("query", np.nan)(folder)
    edit_manifest(folder, head=HEAD | {"thresholds": [0.5, 0.5]})
    (folder / CARD).unlink()
    text = "; ".join(map(str, artifact.findings(folder)))
    for word in (CARD, "2 thresholds", "finite"):
        assert word in text


@pytest.mark.parametrize(
    "text",
    [
        '"seed": 1152921504606846976',
        '"l2": 1e400',
        '"l2": ' + "9" * 400,
        '"recipe": "\\ud800"',
        '"seed": 7.0',
    ],
    ids=["big seed", "infinite l2", "huge l2", "lone surrogate", "seed as float"],
)
def test_numbers_and_texts_beyond_json_are_refused_or_understood(folder: Path, text: str):
    path = folder / MANIFEST
    member = text.split(":")[0]
    lines = path.read_text().splitlines()
    (number,) = (n for n, line in enumerate(lines) if line.lstrip().startswith(member))
    lines[number] = text + ("," if lines[number].endswith(",") else "")
    path.write_text("\n".join(lines))
    try:
        assert artifact.read_manifest(folder).digest
    except RetqError as error:
        assert_clear(error, error.exit_code, MANIFEST)


@pytest.mark.parametrize("read", [artifact.read, artifact.read_manifest, artifact.findings])
def test_a_folder_without_a_manifest_is_no_artifact(folder: Path, read):
    (folder / MANIFEST).unlink()
    with pytest.raises(NotFoundError) as caught:
        read(folder)
    assert_clear(caught.value, 3, str(folder), MANIFEST)


@pytest.mark.parametrize("read", [artifact.read, artifact.read_manifest, artifact.findings])
def test_a_folder_that_is_not_there_is_said_to_be_missing(folder: Path, read):
    with pytest.raises(NotFoundError) as caught:
        read(folder / "none")
    assert_clear(caught.value, 3, f"there is no folder {folder / 'none'}")


JPEG = b"\xff\xd8\xff\xd9"


def test_a_picture_travels_with_its_artifact_and_is_in_no_digest(folder: Path, tmp_path: Path):
    digest = artifact.read_manifest(folder).digest
    (folder / PICTURE).write_bytes(JPEG)
    assert artifact.findings(folder) == []
    artifact.copy(folder, tmp_path / "copy")
    assert (tmp_path / "copy" / PICTURE).read_bytes() == JPEG
    assert artifact.read_manifest(tmp_path / "copy").digest == digest
    write_small(folder)
    assert (folder / PICTURE).read_bytes() == JPEG


def test_a_copy_over_another_artifact_does_not_keep_that_ones_picture(folder: Path, tmp_path: Path):
    write_small(tmp_path / "other")
    (tmp_path / "other" / PICTURE).write_bytes(JPEG)
    artifact.copy(folder, tmp_path / "other")
    assert not (tmp_path / "other" / PICTURE).exists()


def test_what_is_no_picture_is_found_and_not_copied(folder: Path, tmp_path: Path):
    (folder / PICTURE).write_bytes(b"<svg onload=alert(1)>")
    assert [str(one) for one in artifact.findings(folder)] == ["overlay.jpg: is no JPEG"]
    with pytest.raises(IntegrityError) as caught:
        artifact.copy(folder, tmp_path / "copy")
    assert_clear(caught.value, 4, "overlay.jpg: is no JPEG")
    assert not (tmp_path / "copy").exists()
