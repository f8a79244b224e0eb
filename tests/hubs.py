"""A hub for tests: the real `retq serve` in a process of its own, on a free loopback port."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi

from retq_hub.server import accounts
from retq_hub.server.services import open_database


@dataclass(frozen=True, kw_only=True)
class Hub:
    """A hub that is being served.

    Attributes:
        endpoint: Its address.
        tokens: Token by user.
        data: Its folder.
        log: What it wrote to stderr.
        process: The process that serves it.
    """

    endpoint: str
    tokens: Mapping[str, str]
    data: Path
    log: Path
    process: subprocess.Popen[str]

    def api(self, user: str | None = None) -> HfApi:
        """Give the stock client, with a user's token or without any."""
        return HfApi(endpoint=self.endpoint, token=self.tokens[user] if user else False)


def add_users(data: Path, *users: str) -> dict[str, str]:
    """Make users as `retq serve user add` does, and give their tokens."""
    database = open_database(data)
    with database.writing() as connection:
        tokens = {user: accounts.add(connection, user) for user in users}
    database.close()
    return tokens


@contextmanager
def running_hub(
    folder: Path,
    users: tuple[str, ...] = ("alice", "bob"),
    *,
    tokens: Mapping[str, str] | None = None,
    **options: str | bool,
) -> Iterator[Hub]:
    """Serve a hub for as long as the block lasts.

    Args:
        folder: Its data are in `data` there, its log in `log`.
        users: Who has a token.
        tokens: The tokens, if the users are there from an earlier run.
        options: Of `retq serve`, for example ``refuse_invalid=True``.
    """
    data, log = folder / "data", folder / "log"
    known = add_users(data, *users) if tokens is None else tokens
    command = [sys.executable, "-m", "retq_hub.cli", "serve", "--data", str(data), "--port", "0"]
    for name, value in options.items():
        command.append("--" + name.replace("_", "-"))
        command += [] if value is True else [str(value)]
    with log.open("a") as stream:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stream, text=True)
    try:
        assert process.stdout is not None
        endpoint = process.stdout.readline().strip()
        assert endpoint, log.read_text()
        yield Hub(endpoint=endpoint, tokens=known, data=data, log=log, process=process)
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()
            process.communicate()


ARTIFACT = Path(__file__).resolve().parent.parent / "registry" / "queries" / "idrid-disc" / "1.0.0"
"""A whole artifact that ships with the project."""


def artifact_operations(**changed: bytes) -> list[CommitOperationAdd]:
    """Give the operations that commit the artifact; ``retq_json=b"..."`` replaces ``retq.json``."""
    replaced = {name.replace("_", "."): data for name, data in changed.items()}
    return [
        CommitOperationAdd(path.name, replaced.get(path.name, path.read_bytes()))
        for path in sorted(ARTIFACT.iterdir())
    ]
