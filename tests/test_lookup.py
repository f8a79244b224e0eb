"""A name that may be a query's or a composed pipeline's; a plain one loads no reader of locks."""

import subprocess
import sys
from pathlib import Path

import pytest

from retq_hub import artifact, assembly, lookup
from retq_hub.composition import Composition
from retq_hub.errors import NotFoundError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry_folder: Path) -> Path:
    """An empty folder to work in."""
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def test_a_plain_name_is_a_querys(home: Path) -> None:
    assert lookup.either("tiny-disc", lambda: "the query") == "the query"
    assert lookup.either("tiny-disc@1.0.0", lambda: "the query") == "the query"


@pytest.mark.parametrize("name", ["my.lock", "./my.lock", "set", "./set"])
def test_a_path_may_be_a_locks(name: str, home: Path) -> None:
    assembly.lock(["tiny-disc"], home / "my.lock")
    assembly.compose(["tiny-disc"], home / "set", name="a-set", version="1.0.0")
    found = lookup.either(name, lambda: "the query")
    assert isinstance(found, Composition) == ("." in name)


def test_pull_copies_either(home: Path, cache: Path) -> None:
    assert lookup.pull("tiny-disc", into=home / "queries") == home / "queries/tiny-disc"
    assert artifact.findings(home / "queries/tiny-disc") == []
    assembly.compose(["tiny-disc"], home / "set", name="a-set", version="1.0.0")
    assert lookup.pull("./set", into=home / "sets") == home / "sets/a-set"
    assert (home / "sets/a-set/retq.lock").is_file()
    assert lookup.pull("./set").resolve() == home / "set"


def test_an_unknown_name_is_said_to_be_one(home: Path) -> None:
    with pytest.raises(NotFoundError, match="tiny-dics"):
        lookup.pull("tiny-dics")


def test_a_plain_name_loads_neither_locks_nor_hubs(home: Path, cache: Path) -> None:
    code = (
        "import sys; from retq_hub import lookup; lookup.pull('tiny-disc'); "
        "sys.exit(any(f'retq_hub.{one}' in sys.modules for one in ('composition', 'remote')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
