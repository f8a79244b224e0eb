"""`retq lock`, `retq sync` and what other commands make of locks: outputs and exit codes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from eyes import draw
from lockers import NOWHERE, publish, use_hub

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def shared(tmp_path_factory, hub, registry_template, make_query) -> Iterator[str]:
    """A query on the Hub."""
    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETQ_REGISTRY", str(registry_template))
        use_hub(patch, hub, folder / "hf")
        publish(make_query(folder / "query", name="cli-disc", seed=5), "alice/cli-disc")
    yield "alice/cli-disc"


@pytest.fixture
def retq(tmp_path: Path, cache: Path, registry_folder: Path, hub, monkeypatch, retq_folder) -> Run:
    """Runs ``retq`` in a process of its own, in an empty folder, 80 columns wide."""
    use_hub(monkeypatch, hub, tmp_path / "hf")
    folder = tmp_path / "here"
    folder.mkdir()

    def run(*arguments: object, code: int = 0, **environment: str):
        done = subprocess.run(
            [retq_folder / "retq", *map(str, arguments)],
            cwd=folder,
            env=os.environ | {"COLUMNS": "80", "NO_COLOR": "1"} | environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert hub.tokens["alice"] not in done.stdout + done.stderr
        if arguments[0] in ("lock", "sync", "info", "push") and "--json" not in arguments:
            assert max(map(len, done.stdout.splitlines()), default=0) <= 80
        return done

    return run


def test_lock_then_sync_then_offline(retq: Run, shared: str, tmp_path: Path) -> None:
    said = retq("lock", "-q", "tiny-disc", "-q", shared).stdout
    assert "retq.lock pins 2 queries for tiny-vit, weights " in said
    assert f"{shared}@" in said
    first = (tmp_path / "here/retq.lock").read_bytes()
    retq("lock", "-q", "tiny-disc", "-q", shared)
    assert (tmp_path / "here/retq.lock").read_bytes() == first

    states = [
        [one["state"] for one in json.loads(retq("sync", "--json", **environment).stdout)]
        for environment in ({}, {"HF_ENDPOINT": NOWHERE}, {"HF_HUB_OFFLINE": "1"})
    ]
    assert states == [["fetched", "here", "fetched"], ["here"] * 3, ["here"] * 3]
    assert retq("sync", HF_HUB_OFFLINE="1").stdout.count(" here") == 3


def test_a_shared_pipeline_goes_to_the_hub_and_comes_back(
    retq: Run, shared: str, tmp_path: Path
) -> None:
    options = ("--name", "cli-set", "--summary", "Two of them.")
    retq("lock", "-q", shared, "-q", "tiny-spot", *options)
    assert "intact      yes" in retq("validate", "./cli-set").stdout
    dry = retq("push", "cli-set", "--repo", "alice/cli-set", "--dry-run").stdout
    assert "Nothing was sent" in dry
    assert "retq.lock" in dry
    assert "is published" in retq("push", "cli-set", "--repo", "alice/cli-set").stdout
    again = retq("push", "cli-set/retq.lock", "--repo", "alice/cli-set").stdout
    assert "is already published" in again

    fresh = {"HF_HOME": str(tmp_path / "other-hf"), "RETQ_CACHE": str(tmp_path / "other-cache")}
    told = retq("info", "alice/cli-set", **fresh).stdout
    for part in ("cli-set 1.0.0", "Two of them.", "cli-disc", "tiny-spot", "not a medical device"):
        assert part in told
    document = json.loads(retq("info", "alice/cli-set@v1.0.0", "--json", **fresh).stdout)
    assert document["hub"]["repo"] == "alice/cli-set"
    assert document == json.loads((tmp_path / "here/cli-set/retq.lock").read_text()) | {
        "digest": document["digest"],
        "hub": document["hub"],
    }
    place = Path(retq("pull", "alice/cli-set@1.0.0", **fresh).stdout.strip())
    assert (place / "retq.lock").read_bytes() == (tmp_path / "here/cli-set/retq.lock").read_bytes()
    assert 'Pipeline.from_lock("alice/cli-set@v1.0.0")' in (place / "README.md").read_text()
    offline = fresh | {"HF_HUB_OFFLINE": "1"}
    assert retq("pull", "alice/cli-set@1.0.0", **offline).stdout.strip() == str(place)
    copy = retq("pull", "alice/cli-set", "-o", "copies", **offline).stdout.strip()
    assert copy == "copies/cli-set"
    assert json.loads(retq("validate", "./copies/cli-set", "--json", **offline).stdout)["intact"]

    retq("lock", "-q", shared, "-q", "tiny-disc", *options, "--version", "1.1.0")
    dry = retq("push", "cli-set", "--repo", "alice/cli-set", "--dry-run").stdout
    assert "tiny-spot 0.1.0 removed" in dry
    assert "tiny-disc 1.9.0 added" in dry
    retq("lock", "-q", shared, "-q", "tiny-disc", *options)
    moved = retq("push", "cli-set", "--repo", "alice/cli-set", code=2).stderr
    assert "a published version never moves" in moved

    retq("yank", "alice/cli-set@1.0.0", "--reason", "too old")
    assert "1.0.0 is yanked: too old" in retq("sync", "alice/cli-set@1.0.0").stderr


def test_one_repository_holds_one_thing(retq: Run, shared: str) -> None:
    retq("lock", "-q", shared, "--name", "one-set")
    said = retq("push", "one-set", "--repo", shared, code=2).stderr
    assert "holds the query cli-disc, not the composed pipeline one-set" in said


def test_a_member_that_is_only_in_a_folder_is_not_pushed(
    retq: Run, tmp_path: Path, make_query: Callable[..., Path]
) -> None:
    make_query(tmp_path / "here/local-set/mine", name="mine")
    retq("lock", "-q", "./local-set/mine", "-q", "tiny-disc", "--name", "local-set")
    said = retq("push", "local-set", "--repo", "alice/local-set", code=1).stderr
    assert "1 finding: mine: is only in the folder mine" in said
    assert "tiny-disc" not in said


def test_a_lock_without_a_name_is_not_pushed(retq: Run, tmp_path: Path) -> None:
    retq("lock", "-q", "tiny-disc", "-o", "plain/retq.lock")
    said = retq("push", "plain", "--repo", "alice/plain", code=1).stderr
    assert "has no name" in said
    retq("lock", "-q", "tiny-disc", "-o", "my.lock")
    retq("push", "my.lock", "--repo", "alice/plain", code=2)


def test_segment_takes_a_lock(retq: Run, tmp_path: Path) -> None:
    draw(0)[0].save(tmp_path / "here/eye.png")
    retq("lock", "-q", "tiny-disc@1.0.0")
    done = json.loads(
        retq("segment", "eye.png", "--lock", "retq.lock", "-o", "out", "--json").stdout
    )
    assert [row["version"] for row in done["rows"]] == ["1.0.0"]
    for arguments in ((), ("-q", "tiny-disc", "--lock", "retq.lock")):
        assert "--lock" in retq("segment", "eye.png", *arguments, "-o", "out", code=2).stderr
    for option in (("--allow-mismatch",), ("--backbone", "tiny-vit")):
        said = retq("segment", "eye.png", "--lock", "retq.lock", *option, "-o", "out", code=2)
        assert "a lock pins its backbone" in said.stderr


def test_a_changed_member_is_refused_everywhere(
    retq: Run, tmp_path: Path, make_query: Callable[..., Path]
) -> None:
    make_query(tmp_path / "here/mine", name="mine")
    retq("lock", "-q", "./mine")
    make_query(tmp_path / "here/mine", name="mine", seed=3)
    said = retq("sync", code=4).stderr
    assert "has digest" in said
    assert "expected" in said
    validated = retq("validate", "./retq.lock", code=1)
    assert "intact      no" in validated.stdout
    assert "mine: " in validated.stdout
    draw(0)[0].save(tmp_path / "here/eye.png")
    retq("segment", "eye.png", "--lock", "retq.lock", "-o", "out", code=4)


def test_what_is_here_is_said_before_what_is_missing(
    retq: Run, shared: str, tmp_path: Path
) -> None:
    retq("lock", "-q", "tiny-disc", "-q", shared)
    fresh = {"HF_HOME": str(tmp_path / "other-hf"), "HF_HUB_OFFLINE": "1"}
    failed = retq("sync", code=5, **fresh)
    assert "tiny-disc" in failed.stdout
    assert failed.stderr.startswith("retq: ")


def test_a_replay_runs_every_member(retq: Run, cache: Path) -> None:
    retq("lock", "-q", "tiny-disc", "-q", "tiny-spot")
    verdict = json.loads(retq("validate", "./retq.lock", "--replay", "--json").stdout)
    assert (verdict["intact"], verdict["reproduces"]) == (True, True)
    assert [note.partition(":")[0] for note in verdict["notes"]] == ["tiny-disc", "tiny-spot"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("lock",), 2),
        (("lock", "-q", "tiny-disc", "--version", "1.0.0"), 2),
        (("lock", "-q", "tiny-disc", "--name", "Bad Name"), 6),
        (("lock", "-q", "nothing-like-it"), 3),
        (("lock", "-q", "tiny-disc", "-q", "idrid-disc"), 4),
        (("sync",), 3),
        (("sync", "alice/no-such-set"), 3),
        (("sync", "alice/cli-disc"), 3),
        (("pull", "alice/no-such-set"), 3),
        (("info", "./retq.lock"), 3),
        (("validate", "./nothing"), 3),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else None,
)
def test_errors_are_one_line_with_their_exit_code(
    retq: Run, shared: str, arguments: tuple[str, ...], code: int
) -> None:
    done = retq(*arguments, code=code)
    assert done.stdout == ""
    if arguments != ("lock",):
        assert len(done.stderr.strip().splitlines()) == 1


def test_lock_and_sync_start_without_torch(retq: Run, cache: Path, tmp_path: Path) -> None:
    retq("lock", "-q", "tiny-disc")
    retq("sync")
    code = (
        "import sys; from retq_hub.cli.app import cli\n"
        "for arguments in (['lock', '-q', 'tiny-disc'], ['sync'], ['info', './retq.lock']):\n"
        "    cli.main(arguments, standalone_mode=False)\n"
        "    assert 'torch' not in sys.modules, arguments\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "here", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
