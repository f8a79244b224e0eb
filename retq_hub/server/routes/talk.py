"""Routes of discussions and pull requests."""

import sqlite3
from typing import Any, Literal

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from retq_hub.server import commits, diffs, discussions, edits, refs, repos
from retq_hub.server.calls import Call, Json
from retq_hub.server.discussions import Discussion
from retq_hub.server.endpoints import Endpoint
from retq_hub.server.faults import forbidden, not_found
from retq_hub.server.repos import Repo
from retq_hub.server.routes.repositories import REPO

__all__ = ["routes"]

_PAGE = 50
_TALK = f"{REPO}/discussions"
_ONE = f"{_TALK}/{{num}}"


def routes(endpoint: Endpoint) -> list[BaseRoute]:
    """Give the routes of this group."""
    post = ["POST"]
    return [
        Route(_TALK, endpoint.read(_list)),
        Route(_TALK, endpoint.write(_create), methods=post),
        Route(_ONE, endpoint.read(_details)),
        Route(f"{_ONE}/comment", endpoint.write(_comment), methods=post),
        Route(f"{_ONE}/comment/{{event}}/edit", endpoint.write(_edit), methods=post),
        Route(f"{_ONE}/comment/{{event}}/hide", endpoint.write(_hide), methods=post),
        Route(f"{_ONE}/status", endpoint.write(_status), methods=post),
        Route(f"{_ONE}/title", endpoint.write(_title), methods=post),
        Route(f"{_ONE}/merge", endpoint.write(_merge), methods=post),
    ]


def _document(repo: Repo, found: Discussion) -> dict[str, Any]:
    return {
        "num": found.num,
        "title": found.title,
        "status": found.status,
        "author": {"name": found.author},
        "createdAt": found.created,
        "isPullRequest": found.pull,
        "repo": {"name": str(repo.id), "type": repo.id.type},
    }


def _list(call: Call) -> Response:
    query = call.query
    filters: dict[str, Any] = {}
    if query.get("type", "all") != "all":
        filters["pull"] = query["type"] == "pull_request"
    if query.get("status", "all") != "all":
        filters["closed"] = query["status"] == "closed"
    if "author" in query:
        filters["author"] = query["author"]
    start = call.number("p", 0) * _PAGE
    with call.services.database.reading() as connection:
        repo = call.repo(connection)
        found, total = discussions.listed(
            connection, repo, filters=filters, skip=start, limit=_PAGE
        )
    documents = [_document(repo, one) for one in found]
    return Json({"discussions": documents, "count": total, "start": start})


class _New(msgspec.Struct, frozen=True):
    title: str
    description: str | None = None
    pullRequest: bool = False  # noqa: N815 - the protocol's name


def _create(call: Call) -> Response:
    user = repos.require_user(call.user)
    new = call.json(_New)
    with call.services.database.writing() as connection:
        repo = call.repo(connection)
        num = discussions.create(
            connection,
            repo,
            author=user.name,
            title=new.title.strip(),
            description=new.description or "",
            base=repo.head if new.pullRequest else None,
            status=discussions.DRAFT if new.pullRequest else discussions.OPEN,
        )
        if new.pullRequest:
            refs.move(connection, repo.key, refs.PULL, str(num), repo.head)
        found = discussions.find(connection, repo, num)
    url = f"{call.base}/{repo.id.url_path}/discussions/{num}"
    return Json({**_document(repo, found), "url": url, "pullRequest": new.pullRequest})


def _found(connection: sqlite3.Connection, call: Call) -> tuple[Repo, Discussion]:
    repo = call.repo(connection)
    num = call.params["num"]
    if not num.isdecimal() or len(num) > 9:
        raise not_found(f"{repo.id} has no discussion {num[:50]!r}")
    return repo, discussions.find(connection, repo, int(num))


def _details(call: Call) -> Response:
    with call.services.database.reading() as connection:
        repo, found = _found(connection, call)
        document = _document(repo, found)
        events = discussions.events(connection, repo, found.num)
        document["events"] = [event.document() for event in events]
        if found.pull:
            document |= _changes(connection, call, repo, found)
    return Json(document)


def _changes(
    connection: sqlite3.Connection, call: Call, repo: Repo, found: Discussion
) -> dict[str, Any]:
    assert found.base is not None
    document: dict[str, Any] = {
        "changes": {"base": f"refs/{refs.BRANCH}/{refs.MAIN}", "mergeCommitId": found.merged},
        "filesWithConflicts": [],
    }
    if found.status in (discussions.OPEN, discussions.DRAFT):
        document["filesWithConflicts"] = edits.merged(connection, repo, found, repo.head)[1]
    if call.flag("diff"):
        repos.check_download(connection, repo, call.user)
        tip = refs.resolve(connection, repo, refs.pull_name(found.num))
        document["diff"] = diffs.unified(
            commits.tree_of(connection, repo.key, found.base),
            commits.tree_of(connection, repo.key, tip),
            lambda entry: call.services.blobs.read(entry.sha256),
        )
    return document


class _Comment(msgspec.Struct, frozen=True):
    comment: str


def _comment(call: Call) -> Response:
    user = repos.require_user(call.user)
    text = call.json(_Comment).comment
    with call.services.database.writing() as connection:
        repo, found = _found(connection, call)
        event = discussions.comment(connection, repo, found.num, author=user.name, text=text)
    return Json({"newMessage": event.document()})


class _Content(msgspec.Struct, frozen=True):
    content: str


def _edit(call: Call) -> Response:
    return _change_comment(call, call.json(_Content).content)


def _hide(call: Call) -> Response:
    return _change_comment(call, None)


def _change_comment(call: Call, text: str | None) -> Response:
    user = repos.require_user(call.user)
    try:
        event_id = int(call.params["event"][:32], 16)
    except ValueError as error:
        raise not_found("there is no such comment") from error
    with call.services.database.writing() as connection:
        repo, found = _found(connection, call)
        event = discussions.change_comment(
            connection, repo, found.num, event_id, user=user.name, text=text
        )
    return Json({"updatedComment": event.document()})


class _NewStatus(msgspec.Struct, frozen=True):
    status: Literal["open", "closed"]
    comment: str | None = None


def _status(call: Call) -> Response:
    user = repos.require_user(call.user)
    wanted = call.json(_NewStatus)
    with call.services.database.writing() as connection:
        repo, found = _found(connection, call)
        _check_involved(repo, found, user.name)
        if wanted.comment:
            discussions.comment(connection, repo, found.num, author=user.name, text=wanted.comment)
        event = discussions.set_status(
            connection, repo, found, author=user.name, status=wanted.status
        )
    return Json({"newStatus": event.document()})


def _check_involved(repo: Repo, found: Discussion, user: str) -> None:
    if user not in (found.author, repo.id.namespace):
        raise forbidden(f"only {found.author} and {repo.id.namespace} may do that")


class _NewTitle(msgspec.Struct, frozen=True):
    title: str


def _title(call: Call) -> Response:
    user = repos.require_user(call.user)
    title = call.json(_NewTitle).title.strip()
    with call.services.database.writing() as connection:
        repo, found = _found(connection, call)
        _check_involved(repo, found, user.name)
        event = discussions.rename(connection, repo, found, author=user.name, title=title)
    return Json({"newTitle": event.document()})


class _Merge(msgspec.Struct, frozen=True):
    comment: str | None = None


def _merge(call: Call) -> Response:
    comment = (call.json(_Merge | None) or _Merge()).comment or ""  # type: ignore[arg-type]
    with call.services.database.reading() as connection:
        repo, found = _found(connection, call)
        user = repos.check_owner(repo, call.user)
    call.services.publisher.merge(repo, user, found.num, comment=comment)
    return Response(status_code=200)
