"""``retq embed``, and the commands that read what it stored, in this process."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from eyes import make_csv
from kinds import make_classification
from tiny import Tiny

from retq_hub.cli.app import main

Say = Callable[..., tuple[str, str]]

BESIDE = ("segment", "--from-tokens", "store", "-q", "tiny-disc", "-o", "o")


@pytest.fixture
def here(
    tmp_path: Path, cache: Path, registry_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The current folder, with four eyes and their CSV."""
    make_csv(tmp_path / "here", count=4, n_test=2)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def retq(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs a command and gives what it said on stdout and stderr."""

    def say(*arguments: str, code: int = 0) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["retq", *map(str, arguments)])
        left = 0
        try:
            main()
        except SystemExit as end:
            left = int(end.code or 0)
        said = capsys.readouterr()
        assert left == code, said.err
        return said.out, said.err

    return say


def test_a_new_query_over_a_store(retq: Say, here: Path) -> None:
    said, _ = retq("embed", "images", "-q", "tiny-disc", "-o", "store")
    assert "4 embedded, 0 done before, 0 failed" in said
    assert "embeddings and tokens 1x1@64:1" in said
    assert max(map(len, said.splitlines())) <= 80
    said, _ = retq("embed", "images", "-q", "tiny-disc", "-o", "store")
    assert "0 embedded, 4 done before, 0 failed" in said
    for image in (here / "images").iterdir():
        image.rename(image.with_suffix(".away"))
    said, _ = retq("segment", "--from-tokens", "store", "-q", "tiny-disc", "-o", "out", "--areas")
    assert "4 segmented, 0 done before, 0 failed" in said
    with (here / "out/summary.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["image"] for row in rows] == [f"images/eye{number}.png" for number in range(4)]
    out, _ = retq("segment", "--from-tokens", "store", "-q", "tiny-disc", "-o", "masks", "--json")
    document = json.loads(out)
    assert (document["done"], document["failed"]) == (4, {})
    assert all((here / "masks" / row["mask"]).is_file() for row in document["rows"])


def test_what_is_stored_is_named_in_json(retq: Say) -> None:
    out, _ = retq("embed", "images", "-o", "a", "--backbone", "tiny-vit", "--json")
    document = json.loads(out)
    assert document["tensors"] == {"embedding": {"dtype": "float32", "shape": [32]}}
    assert document["bytes_per_image"] == 128
    last = ("--tokens", "--backbone", "tiny-vit", "--json")
    document = json.loads(retq("embed", "images/eye0.png", "-o", "b", *last)[0])
    assert list(document["tensors"]) == ["embedding", "tokens 1x1@64:2"]
    basis = ("--basis", "2x2:0,1 + pixels", "--basis", "1", "--backbone", "tiny-vit", "--json")
    document = json.loads(retq("embed", "images/eye0.png", "-o", "c", *basis)[0])
    assert list(document["tensors"]) == [
        "embedding",
        "tokens 1x1@64:1",
        "tokens 2x2@64:0",
        "tokens 2x2@64:1",
        "channels",
    ]


def test_images_that_cannot_be_used_are_listed(retq: Say, here: Path) -> None:
    (here / "images/bad.png").write_bytes(b"no image")
    said, talk = retq("embed", "images", "-q", "tiny-disc", "-o", "store", code=1)
    assert "4 embedded, 0 done before, 1 failed" in said
    assert "bad.png" in talk
    assert "1 failed" in retq("embed", "images", "-q", "tiny-disc", "-o", "store", code=1)[0]
    retq("embed", "images/bad.png", "-q", "tiny-disc", "-o", "other", code=6)


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (("segment", "-q", "tiny-disc", "-o", "o"), 2, "there are no images"),
        (
            (
                *("segment", "--from-tokens", "store", "-q", "tiny-disc", "-o", "o"),
                *("--areas", "--probability", "png"),
            ),
            2,
            "--areas writes no maps",
        ),
        (("embed", "eyes.csv", "-o", "o"), 2, "eyes.csv is a list, and no image"),
        (("embed", "s3://eyes/1", "-o", "o"), 2, "s3://eyes/1 is a URL, and no image"),
        (
            ("segment", "images", "--from-tokens", "store", "-q", "tiny-disc", "-o", "o"),
            2,
            "reads a store alone, in this process: IMAGES cannot",
        ),
        (
            (*BESIDE, "--engine-pool", "ray", "--format", "parquet"),
            2,
            "--engine-pool, --format cannot be given beside it",
        ),
        (
            ("segment", "--from-tokens", "store", "--lock", "retq.lock", "-o", "o"),
            2,
            "--lock cannot be given beside it",
        ),
        (("segment", "--from-tokens", "images", "-q", "tiny-disc", "-o", "o"), 3, "is no store"),
        (
            ("segment", "--from-tokens", "store", "-q", "tiny-disc", "-o", "o"),
            2,
            "tiny-disc reads tokens 1x1@64:1, which store does not hold: it holds embeddings",
        ),
        (("embed", "images", "--tokens", "--basis", "7", "-o", "s"), 2, "in one way"),
        (("embed", "images", "-q", "tiny-disc", "-o", "store"), 2, "store holds embeddings of"),
        (("embed", "images", "--basis", "9", "-o", "s", "--backbone", "tiny-vit"), 2, "layers 0-2"),
        (("embed", "nothing.png", "-o", "s"), 3, "there is no image"),
    ],
)
def test_what_makes_no_sense_is_said(
    command: tuple[str, ...], code: int, words: str, retq: Say
) -> None:
    retq("embed", "images/eye0.png", "-o", "store", "--backbone", "tiny-vit")
    _, talk = retq(*command, code=code)
    assert words in talk.strip().splitlines()[-1]


def test_a_damaged_store_is_noticed_and_made_whole_again(retq: Say, here: Path) -> None:
    own = ("embed", "images", "-q", "tiny-disc", "-o", "store")
    retq(*own)
    shard = here / "store/shard-000000.safetensors"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    answer = ("segment", "--from-tokens", "store", "-q", "tiny-disc", "-o", "out", "--areas")
    _, talk = retq(*answer, code=4)
    assert "its tokens 1x1@64:1 of images/eye3.png is not what was written" in talk
    assert "delete shard-000000.jsonl and run `retq embed` again" in talk
    (here / "store/shard-000000.jsonl").unlink()
    assert "4 embedded" in retq(*own)[0]
    assert "segmented" in retq(*answer)[0]


def test_training_and_evaluation_read_a_store(retq: Say, here: Path, cache: Path) -> None:
    own = ("--csv", "eyes.csv", "--target", "spot")
    fit = ("train", *own, "--backbone", "tiny-vit", "--basis", "1", "--l2", "0.01", "-o")
    retq("embed", "images", "-q", "tiny-disc", "-o", "store")
    direct = json.loads(retq(*fit, "direct", "--json")[0])
    stored = json.loads(retq(*fit, "stored", "--from-tokens", "store", "--json")[0])
    assert stored["loss"] == pytest.approx(direct["loss"], abs=1e-9)
    for folder in (cache / "tokens").iterdir():
        if folder.name != "probe":
            for file in folder.iterdir():
                file.unlink()
    score = ("evaluate", "./stored", *own, "--from-tokens", "store", "--json")
    assert json.loads(retq(*score)[0])["query"] == "stored@1.0.0"
    assert not [one for one in (cache / "tokens").rglob("*.safetensors") if "probe" not in str(one)]
    _, talk = retq(*fit, "x", "--recipe", "paper", "--from-tokens", "store", code=2)
    assert "the paper's recipe alters the images" in talk


def test_labels_are_scored_from_a_store(retq: Say, here: Path, tiny: Tiny) -> None:
    make_classification(here / "grade", backbone=tiny.backbone, activation="ordinal")
    rows = [f"images/eye{number}.png,{number % 3},test" for number in range(4)]
    (here / "grades.csv").write_text("\n".join(["image,grade,split", *rows]) + "\n")
    retq("embed", "images", "-q", "./grade", "-o", "store")
    own = ("evaluate", "./grade", "--labels", "grades.csv", "--column", "grade", "--json")
    direct = json.loads(retq(*own)[0])
    stored = json.loads(retq(*own, "--from-tokens", "store")[0])
    assert stored["figures"].keys() == direct["figures"].keys()
