"""Parts of the tests of locks: a hub to publish on, one that is down, a progress that listens."""

from pathlib import Path

import pytest
from hubs import Hub

from retq_hub import publication
from retq_hub.errors import RetqError

NOWHERE = "http://127.0.0.1:9"
"""Nothing listens there: whoever asks gets an error."""


class Listener:
    """Progress that keeps what is said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def steps(self, items, *, what, total=None):
        yield from items

    def download(self, chunks, *, what, total):
        yield from chunks

    def note(self, line):
        self.notes.append(line)

    def measure(self, value, *, milestone=False):
        pass


def use_hub(monkeypatch: pytest.MonkeyPatch, hub: Hub, home: Path, user: str = "alice") -> None:
    """Have the client talk to a hub as a user, with a cache of the test's own."""
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", hub.tokens[user])
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def publish(folder: Path, repo: str) -> str:
    """Push a query unless it is there, and give its commit."""
    commit = publication.push(folder, repo).commit
    assert commit is not None
    return commit


def code_of(error: RetqError) -> int:
    """Give the exit code, after a look at the message: one line, and a next step."""
    assert str(error).isprintable(), str(error)
    assert error.hint
    return error.exit_code
