"""Filling a store: full shards are written, what is there is not doubled, kills lose little."""

import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support_core import assert_clear
from tiny import Tiny

from retq_hub.errors import StorageError, UsageError
from retq_hub.preparation import Needs
from retq_hub.store.contents import CONTENTS, EMBEDDING, Contents
from retq_hub.store.intake import holding
from retq_hub.store.shard import Entry, numbers
from retq_hub.store.store import Store
from retq_hub.store.writer import Writer


@pytest.fixture
def contents(tiny: Tiny) -> Contents:
    return holding(tiny.backbone, Needs(plan={}))


def entry(number: int, *, sha256: str = "0" * 64) -> Entry:
    return Entry(image=f"{number}.png", sha256=sha256, width=9, height=7, stem=str(number))


def row(number: int) -> dict[str, torch.Tensor]:
    return {EMBEDDING: torch.full((32,), float(number))}


def fill(folder: Path, contents: Contents, some: range, **limits: int) -> None:
    with Writer(folder, contents, **limits) as writer:
        for number in some:
            if (f"{number}.png", "0" * 64) not in writer:
                writer.add(entry(number), row(number))


@pytest.mark.parametrize("limits", [{"shard_images": 3}, {"shard_bytes": 3 * 128 + 5}])
def test_shards_are_bounded(limits: dict[str, int], tmp_path: Path, contents: Contents) -> None:
    fill(tmp_path, contents, range(8), **limits)
    assert numbers(tmp_path) == [0, 1, 2]
    store = Store(tmp_path)
    assert [one.image for one in store] == [f"{number}.png" for number in range(8)]
    assert float(store.embedding("7.png")[0]) == 7


def test_a_second_run_adds_what_is_missing(tmp_path: Path, contents: Contents) -> None:
    fill(tmp_path, contents, range(4), shard_images=3)
    fill(tmp_path, contents, range(6), shard_images=3)
    assert len(Store(tmp_path)) == 6
    assert sum(1 for _ in (tmp_path).glob("*.jsonl")) == 3


def test_an_interruption_keeps_what_was_gathered(tmp_path: Path, contents: Contents) -> None:
    with pytest.raises(KeyboardInterrupt), Writer(tmp_path, contents) as writer:
        writer.add(entry(0), row(0))
        raise KeyboardInterrupt
    assert len(Store(tmp_path)) == 1


def test_an_image_whose_file_changed_is_there_once(tmp_path: Path, contents: Contents) -> None:
    fill(tmp_path, contents, range(3))
    with Writer(tmp_path, contents) as writer:
        writer.add(entry(1, sha256="1" * 64), row(9))
    store = Store(tmp_path)
    assert [one.image for one in store] == ["0.png", "2.png", "1.png"]
    assert float(store.embedding("1.png")[0]) == 9
    assert "1" * 64 in store
    sizes = [len(batch.entries) for batch in store.batches(Needs(plan={}), size=5)]
    assert sizes == [1, 1, 1]


def test_a_store_of_something_else_is_refused(tmp_path: Path, contents: Contents) -> None:
    fill(tmp_path, contents, range(1))
    with pytest.raises(UsageError) as caught, Writer(tmp_path, replace(contents, channels=True)):
        pass
    assert_clear(caught.value, 2, "holds embeddings of tiny-vit", "embeddings and pixel channels")
    fill(tmp_path, contents, range(2))


def test_two_cannot_fill_a_store_at_once(tmp_path: Path, contents: Contents) -> None:
    with Writer(tmp_path, contents), pytest.raises(UsageError, match="another process is writing"):
        Writer(tmp_path, contents).__enter__()
    fill(tmp_path, contents, range(1))


def test_a_full_disk_is_said(tmp_path: Path, contents: Contents) -> None:
    fill(tmp_path, contents, range(0))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(StorageError, match="shard-000000"):
            fill(tmp_path, contents, range(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert numbers(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, contents: Contents) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        Writer(tmp_path / "file", contents)


_ENDLESS = """
import sys, time
from pathlib import Path
import torch
from retq_hub.store.contents import read_contents
from retq_hub.store.shard import Entry
from retq_hub.store.writer import Writer

folder = Path(sys.argv[1])
with Writer(folder, read_contents(folder), shard_images=2) as writer:
    for number in range(10**6):
        if (f"{number}.png", "0" * 64) not in writer:
            new = Entry(image=f"{number}.png", sha256="0" * 64, width=9, height=7, stem="")
            writer.add(new, {"embedding": torch.full((32,), float(number))})
            time.sleep(0.001)
"""


def test_a_kill_leaves_whole_shards_and_a_second_run_doubles_nothing(
    tmp_path: Path, contents: Contents
) -> None:
    fill(tmp_path, contents, range(1))
    with subprocess.Popen([sys.executable, "-c", _ENDLESS, str(tmp_path)]) as process:
        while len(numbers(tmp_path)) < 5:
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    found = len(Store(tmp_path))
    assert found >= 9
    fill(tmp_path, contents, range(found + 3))
    store = Store(tmp_path)
    assert [one.image for one in store] == [f"{number}.png" for number in range(found + 3)]
    assert all(float(store.embedding(f"{n}.png")[0]) == n for n in range(found + 3))
    assert {path.suffix for path in tmp_path.iterdir()} <= {"", ".json", ".jsonl", ".safetensors"}
    assert (tmp_path / CONTENTS).is_file()
