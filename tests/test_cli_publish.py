"""push, pull, info and yank as people type them, on a hub of our own."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def retq(login: object, retq_folder: Path) -> Run:
    """Runs the command line in a process of its own, in 80 columns."""

    def run(*arguments: object, **settings: str) -> "subprocess.CompletedProcess[str]":
        env = os.environ | {"COLUMNS": "80", **settings}
        return subprocess.run(
            [retq_folder / "retq", *map(str, arguments)],
            env={name: value for name, value in env.items() if value != "-"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def test_from_dry_run_to_yank(retq: Run, mine, new_repo, hub, tmp_path: Path):
    push = ("push", mine(), "--repo", new_repo)
    dry = retq(*push, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "Nothing was sent" in dry.stdout
    assert max(map(len, dry.stdout.splitlines())) <= 80
    done = retq(*push)
    assert done.stdout == f"{new_repo}@v1.0.0 is published: {hub.endpoint}/{new_repo}\n"
    again = retq(*push)
    assert (again.returncode, "is already published" in again.stdout) == (0, True)
    moved = retq("push", mine(seed=1), "--repo", new_repo)
    assert (moved.returncode, moved.stderr.count("\n")) == (2, 1)
    later = retq("push", mine("1.1.0", seed=1), "--repo", new_repo, "--dry-run")
    assert "Compared with 1.0.0:\n  version 1.0.0 -> 1.1.0\n" in later.stdout

    pulled = retq("pull", new_repo)
    assert (Path(pulled.stdout.strip()) / "query.safetensors").is_file()
    assert pulled.stderr == ""
    copied = retq("pull", f"{new_repo}@v1.0.0", "-o", tmp_path / "out", HF_HUB_OFFLINE="1")
    assert "taken from the local cache" in copied.stderr
    assert copied.stdout.strip() == str(tmp_path / "out" / "mine")
    assert retq("validate", f"{new_repo}@1.0.0").returncode == 0

    yanked = retq("yank", f"{new_repo}@1.0.0", "--reason", "shifted masks")
    assert yanked.stdout == f"{new_repo} 1.0.0 is yanked: shifted masks\n"
    assert retq("pull", new_repo).returncode == 3
    warned = retq("pull", f"{new_repo}@1.0.0")
    assert (warned.returncode, warned.stderr) == (0, f"{new_repo} 1.0.0 is yanked: shifted masks\n")
    info = retq("info", f"{new_repo}@1.0.0")
    assert "1.0.0 (yanked: shifted masks)" in info.stdout
    assert "commercial use" in info.stdout
    document = json.loads(retq("info", f"{new_repo}@1.0.0", "--json").stdout)
    assert document["hub"]["yanked"] == {"1.0.0": "shifted masks"}
    undone = retq("yank", f"{new_repo}@1.0.0", "--undo")
    assert undone.stdout == f"{new_repo} 1.0.0 is not yanked\n"


def test_each_refusal_is_one_line_with_its_exit_code(retq: Run, mine, new_repo, tmp_path: Path):
    home = str(tmp_path / "nobody")
    cases = {
        ("pull", "alice/absent"): 3,
        ("info", "alice/absent@1.0.0"): 3,
        ("push", tmp_path, "--repo", new_repo): 3,
        ("push", mine(), "--repo", "bob/theirs"): 5,
        ("push", mine(), "--repo", "nowhere"): 2,
        ("yank", new_repo, "--reason", "x"): 2,
        ("yank", f"{new_repo}@1.0.0"): 2,
        ("yank", f"{new_repo}@1.0.0", "--reason", "x"): 3,
    }
    for arguments, code in cases.items():
        done = retq(*arguments)
        assert (done.returncode, done.stderr.count("\n")) == (code, 1), (arguments, done.stderr)
    nobody = retq("push", mine(), "--repo", new_repo, HF_TOKEN="-", HF_HOME=home)
    assert nobody.returncode == 5
    assert "you are not logged in to the Hub; `hf auth login`" in nobody.stderr
    wrong = retq("pull", new_repo, HF_TOKEN="hf_wrong")
    assert wrong.returncode == 5
    assert "hf_wrong" not in wrong.stderr
    offline = retq("pull", new_repo, HF_HUB_OFFLINE="1")
    assert (offline.returncode, offline.stderr.count("\n")) == (5, 1)


def test_a_push_speaks_json(retq: Run, mine, new_repo):
    document = json.loads(retq("push", mine(), "--repo", new_repo, "--json").stdout)
    assert (document["outcome"], document["repo"]) == ("published", new_repo)
    assert len(document["commit"]) == 40
