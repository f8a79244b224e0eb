"""What is written to a Hub: repositories, commits, tags and pull requests."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retq_hub.errors import NetworkError, RetqError
from retq_hub.hub.client import ask, hub_api
from retq_hub.text import printable

__all__ = ["Committed", "check_login", "commit", "create", "tag"]

_CONFLICT, _STALE = 409, 412


@dataclass(frozen=True, kw_only=True)
class Committed:
    """A commit that the Hub took.

    Attributes:
        commit: Its 40 digits.
        pull_request: Where to look at it, if it is one.
    """

    commit: str
    pull_request: str | None


def check_login() -> None:
    """Refuse to write without a login; whether it is any good, the Hub will say.

    Raises:
        NetworkError: There is none.
    """
    from huggingface_hub import get_token

    if not get_token():
        raise NetworkError("you are not logged in to the Hub", hint="`hf auth login`, or HF_TOKEN")


def create(repo: str, *, private: bool) -> None:
    """Make an empty repository; one that is there already stays as it is.

    Raises:
        NetworkError: The Hub did not deliver, or the login may not do this.
    """
    ask(repo, lambda: hub_api().create_repo(repo, private=private, exist_ok=True))


def commit(
    repo: str,
    *,
    added: Mapping[str, bytes],
    removed: tuple[str, ...] = (),
    message: str,
    parent: str | None,
    pull_request: bool = False,
) -> Committed:
    """Make one commit on the main branch, or a pull request of one commit.

    Args:
        repo: ``namespace/name``.
        added: Files by path; those that are the same on the Hub are not sent.
        removed: Files to take away.
        message: What is said of it.
        parent: The commit that it follows; the Hub refuses it if there is another by now.
        pull_request: Propose it only.

    Raises:
        NetworkError: Somebody else pushed meanwhile; the Hub did not deliver, or refused.
        NotFoundError: There is no such repository.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    def send() -> Any:  # noqa: ANN401 - the client's class has no types
        operations: list[Any] = [CommitOperationAdd(path, data) for path, data in added.items()]
        operations += [CommitOperationDelete(path) for path in removed]
        return hub_api().create_commit(
            repo,
            operations,
            commit_message=message,
            parent_commit=parent,
            create_pr=pull_request,
            num_threads=2,
        )

    try:
        done = ask(repo, send)
    except RetqError as error:
        if _status(error) in (_CONFLICT, _STALE):
            raise NetworkError(
                f"somebody else pushed to {repo} meanwhile",
                hint="look at what is there now, then push again",
            ) from error
        raise
    return Committed(commit=done.oid, pull_request=printable(done.pr_url) if done.pr_url else None)


def tag(repo: str, name: str, *, commit: str) -> bool:
    """Tag a commit; a tag that is there already stays where it is.

    Returns:
        Whether it was set now.

    Raises:
        NetworkError: The Hub did not deliver, or refused.
    """
    try:
        ask(f"{repo}@{name}", lambda: hub_api().create_tag(repo, tag=name, revision=commit))
    except NetworkError as error:
        if _status(error) == _CONFLICT:
            return False
        raise
    return True


def _status(error: RetqError) -> int | None:
    """Give the status with which the Hub refused."""
    from huggingface_hub.errors import HfHubHTTPError

    cause = error.__cause__
    return cause.response.status_code if isinstance(cause, HfHubHTTPError) else None
