"""Users: `retq serve user`, while the hub is served; tokens are kept as hashes."""

import subprocess
import sys
from pathlib import Path

import pytest
from hubs import add_users
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from retq_hub.errors import UsageError


def retq(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "retq_hub.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def user(action: str, *words: str, data: Path) -> "subprocess.CompletedProcess[str]":
    return retq("serve", "user", action, *words, "--data", str(data))


def test_a_user_is_added_and_removed_while_the_hub_is_served(hub):
    added = user("add", "carol", data=hub.data)
    assert added.returncode == 0
    token = added.stdout.strip()
    assert added.stdout == f"{token}\n"
    assert token.startswith("hf_")
    carol = HfApi(endpoint=hub.endpoint, token=token)
    assert carol.whoami()["name"] == "carol"
    carol.create_repo("carol/mine")
    assert {"alice", "bob", "carol"} <= set(user("list", data=hub.data).stdout.split())
    for path in hub.data.rglob("*"):
        if path.is_file():
            assert token.encode() not in path.read_bytes()
    assert user("remove", "carol", data=hub.data).returncode == 0
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        carol.whoami()
    assert hub.api().model_info("carol/mine").author == "carol"


@pytest.mark.parametrize(
    ("name", "what"),
    [("dora", "already"), ("DORA", "already"), ("../x", "cannot be a name"), ("api", "not free")],
)
def test_a_name_must_be_free_and_fit(tmp_path, name, what):
    add_users(tmp_path, "dora")
    with pytest.raises(UsageError, match=what):
        add_users(tmp_path, name)


def test_nobody_cannot_be_removed(tmp_path):
    add_users(tmp_path, "dora")
    refused = user("remove", "nobody", data=tmp_path)
    assert refused.returncode == 3
    assert "there is no user nobody" in refused.stderr


def test_users_of_a_hub_that_is_not_there_are_not_listed(tmp_path):
    refused = user("list", data=tmp_path / "typo")
    assert refused.returncode == 3
    assert "typo holds no hub" in refused.stderr
    assert not (tmp_path / "typo").exists()


def test_a_missing_extra_is_named(tmp_path):
    script = (
        "import sys; sys.modules['uvicorn'] = None; sys.argv = ['retq', 'serve', '--data', 'x']; "
        "from retq_hub.cli import main; main()"
    )
    command = [sys.executable, "-c", script]
    refused = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert refused.returncode == 2
    assert 'pip install "retq-hub[server]"' in refused.stderr


@pytest.mark.parametrize(
    ("words", "status", "what"),
    [
        (["serve"], 2, "--data is missing"),
        (["serve", "--data", "/dev/null/x"], 7, "cannot be used"),
        (["serve", "--data", "here", "--host", "192.0.2.1"], 2, "cannot listen at 192.0.2.1:8080"),
    ],
)
def test_what_cannot_be_served_is_said(tmp_path, monkeypatch, words, status, what):
    monkeypatch.chdir(tmp_path)
    refused = retq(*words)
    assert refused.returncode == status
    assert what in refused.stderr
