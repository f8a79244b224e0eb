"""Shards: rows come back as they were written, and damage is found where it is."""

import json
from pathlib import Path

import pytest
import torch
from support_core import assert_clear
from tiny import Tiny

from retq_hub.errors import IntegrityError
from retq_hub.preparation import Needs
from retq_hub.store.contents import EMBEDDING, Contents, guide_name
from retq_hub.store.intake import holding
from retq_hub.store.shard import Entry, Shard, numbers, write_shard


def entry(number: int) -> Entry:
    return Entry(
        image=f"images/eye{number}.png", sha256=f"{number:064}", width=9, height=7, stem="eye"
    )


@pytest.fixture
def contents(tiny: Tiny) -> Contents:
    return holding(tiny.backbone, Needs(plan={}, guides=(4,)))


def written(folder: Path, number: int = 0, count: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(number)
    tensors = {
        EMBEDDING: torch.randn(count, 32, generator=generator),
        guide_name(4): torch.randint(0, 256, (count, 4, 4), dtype=torch.uint8, generator=generator),
    }
    write_shard(folder, number, [entry(one) for one in range(count)], tensors)
    return tensors


def test_rows_come_back_as_they_were_written(tmp_path: Path, contents: Contents) -> None:
    tensors = written(tmp_path)
    shard = Shard(tmp_path, 0, contents)
    assert shard.entries == (entry(0), entry(1), entry(2))
    for name, found in tensors.items():
        assert torch.equal(shard.rows(name, 0, 3), found)
        assert torch.equal(shard.rows(name, 1, 2), found[1:2])


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        written(tmp_path / name)
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / n).iterdir()} for n in ("one", "two")
    ]
    assert files[0] == files[1]


def test_a_shard_without_its_index_is_not_there(tmp_path: Path) -> None:
    written(tmp_path, 0)
    written(tmp_path, 1)
    (tmp_path / "shard-000001.jsonl").unlink()
    assert numbers(tmp_path) == [0]


def test_an_altered_row_is_named_and_others_can_be_read(tmp_path: Path, contents: Contents) -> None:
    tensors = written(tmp_path)
    path = tmp_path / "shard-000000.safetensors"
    row = tensors[EMBEDDING][1].numpy().tobytes()
    content = path.read_bytes()
    assert content.count(row) == 1
    path.write_bytes(content.replace(row, bytes([row[0] ^ 1]) + row[1:]))
    shard = Shard(tmp_path, 0, contents)
    assert torch.equal(shard.rows(EMBEDDING, 0, 1), tensors[EMBEDDING][:1])
    with pytest.raises(IntegrityError) as caught:
        shard.rows(EMBEDDING, 0, 3)
    assert_clear(caught.value, 4, "its embedding of images/eye1.png is not what was written")


@pytest.mark.parametrize("cut", [0, 5, 100, -1])
def test_a_shard_that_was_cut_short_is_damaged(
    cut: int, tmp_path: Path, contents: Contents
) -> None:
    written(tmp_path)
    path = tmp_path / "shard-000000.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(IntegrityError, match=r"shard-000000.safetensors is damaged"):
        Shard(tmp_path, 0, contents).rows(EMBEDDING, 0, 3)


def test_a_missing_shard_is_damage(tmp_path: Path, contents: Contents) -> None:
    written(tmp_path)
    (tmp_path / "shard-000000.safetensors").unlink()
    with pytest.raises(IntegrityError, match="is damaged"):
        Shard(tmp_path, 0, contents).rows(EMBEDDING, 0, 3)


@pytest.mark.parametrize(
    "alter",
    [
        lambda text: text.replace("eye1.png", "eye7.png"),
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]\n",
        lambda text: text.replace("retq-shard/1", "retq-shard/9"),
        lambda text: text + json.dumps({"image": "x"}) + "\n",
    ],
)
def test_an_altered_index_is_damage(alter, tmp_path: Path, contents: Contents) -> None:
    written(tmp_path)
    path = tmp_path / "shard-000000.jsonl"
    path.write_text(alter(path.read_text()))
    with pytest.raises(IntegrityError, match=r"shard-000000.jsonl is damaged"):
        Shard(tmp_path, 0, contents)


def test_a_shard_of_something_else_is_damage(tmp_path: Path, tiny: Tiny) -> None:
    written(tmp_path)
    with pytest.raises(IntegrityError, match="is damaged"):
        Shard(tmp_path, 0, holding(tiny.backbone, Needs(plan={})))


@pytest.mark.parametrize("stem", ["../eye", "/eye"])
def test_a_shard_that_names_files_elsewhere_is_damage(
    stem: str, tmp_path: Path, contents: Contents
) -> None:
    entry = Entry(image="eye.png", sha256="0" * 64, width=9, height=7, stem=stem)
    tensors = {
        name: torch.zeros(1, *row.shape, dtype=getattr(torch, row.dtype))
        for name, row in contents.tensors.items()
    }
    write_shard(tmp_path, 0, [entry], tensors)
    with pytest.raises(IntegrityError, match="is damaged"):
        Shard(tmp_path, 0, contents)
