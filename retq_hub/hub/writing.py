"""What is written to a Hub: repositories, commits, tags and pull requests."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retq_hub.errors import NetworkError, RetqError
from retq_hub.hub.client import ask, endpoint, hub_api

__all__ = ["Committed", "commit", "create", "tag", "user"]

_STALE = frozenset({409, 412})


@dataclass(frozen=True, kw_only=True)
class Committed:
    """A commit that the Hub took.

    Attributes:
        commit: Its 40 digits.
        pull_request: Where to look at it, if it is one.
    """

    commit: str
    pull_request: str | None


def user() -> str:
    """Ask as whom the login speaks.

    Raises:
        NetworkError: There is no login, or the Hub does not accept it.
    """
    from huggingface_hub import get_token

    if not get_token():
        raise NetworkError("you are not logged in", hint="`hf auth login`, or set HF_TOKEN")
    return str(ask("your login", lambda: hub_api().whoami())["name"])


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
    from huggingface_hub.errors import HfHubHTTPError

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
        cause = error.__cause__
        if isinstance(cause, HfHubHTTPError) and cause.response.status_code in _STALE:
            raise NetworkError(
                f"somebody else pushed to {repo} meanwhile",
                hint="look at what is there now, then push again",
            ) from error
        raise
    return Committed(commit=done.oid, pull_request=done.pr_url)


def tag(repo: str, name: str, *, commit: str) -> None:
    """Tag a commit.

    Raises:
        NetworkError: The tag is there already; the Hub did not deliver, or refused.
    """
    ask(
        f"{repo}@{name}",
        lambda: hub_api().create_tag(repo, tag=name, revision=commit, exist_ok=False),
    )


def page(repo: str) -> str:
    """Give the address at which people look at a repository."""
    return f"{endpoint()}/{repo}"
