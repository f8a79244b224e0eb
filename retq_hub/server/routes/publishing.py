"""Routes that change what a repository holds: commits, tags, branches."""

import sqlite3

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from retq_hub.server import commits, discussions, payloads, refs, repos
from retq_hub.server.accounts import User
from retq_hub.server.calls import Call, Json
from retq_hub.server.endpoints import Endpoint
from retq_hub.server.faults import bad_request, forbidden, revision_not_found
from retq_hub.server.naming import check_path
from retq_hub.server.repos import Repo
from retq_hub.server.routes.repositories import REPO

__all__ = ["routes"]

_MAX_COMMIT = 2**30


def routes(endpoint: Endpoint) -> list[BaseRoute]:
    """Give the routes of this group."""
    return [
        Route(f"{REPO}/preupload/{{revision}}", endpoint.read(_preupload), methods=["POST"]),
        Route(
            f"{REPO}/commit/{{revision}}",
            endpoint.guarded(_may_commit, _commit, limit=_MAX_COMMIT, what="the commit"),
            methods=["POST"],
        ),
        Route(f"{REPO}/tag/{{revision}}", endpoint.write(_create_tag), methods=["POST"]),
        Route(f"{REPO}/tag/{{revision}}", endpoint.write(_delete_tag), methods=["DELETE"]),
        Route(f"{REPO}/branch/{{revision}}", endpoint.write(_create_branch), methods=["POST"]),
        Route(f"{REPO}/branch/{{revision}}", endpoint.write(_delete_branch), methods=["DELETE"]),
    ]


class _File(msgspec.Struct, frozen=True):
    path: str
    size: int


class _Files(msgspec.Struct, frozen=True):
    files: list[_File]


def _preupload(call: Call) -> Response:
    wanted = call.json(_Files).files
    for one in wanted:
        check_path(one.path)
    with call.services.database.reading() as connection:
        repo = call.repo(connection)
        _target(connection, call, repo)
        oid = refs.resolve(connection, repo, call.params["revision"])
        tree = commits.tree_of(connection, repo.key, oid)
    answers = []
    for one in wanted:
        large = one.size > payloads.INLINE_LIMIT
        there = tree.get(one.path)
        known = there and (there.sha256 if large else there.sha1)
        mode = "lfs" if large else "regular"
        answers.append({"path": one.path, "uploadMode": mode, "shouldIgnore": False, "oid": known})
    return Json({"files": answers})


def _target(connection: sqlite3.Connection, call: Call, repo: Repo) -> tuple[str, str, User]:
    """Give kind and name of the ref that a commit goes to, and who may do so.

    Raises:
        Fault: 401 or 403, the user may not; RevisionNotFound, there is no such branch.
    """
    user = repos.require_user(call.user)
    revision = call.params["revision"]
    if revision.startswith(f"refs/{refs.PULL}/") and not call.flag("create_pr"):
        return refs.PULL, _pull(connection, repo, revision, user), user
    name = revision.removeprefix(f"refs/{refs.BRANCH}/")
    refs.resolve(connection, repo, f"refs/{refs.BRANCH}/{name}")
    if call.flag("create_pr"):
        repos.check_download(connection, repo, user)
        if name != refs.MAIN:
            raise bad_request("a pull request can only be opened against main")
    else:
        repos.check_owner(repo, user)
    return refs.BRANCH, name, user


def _pull(connection: sqlite3.Connection, repo: Repo, revision: str, user: User) -> str:
    num = revision.removeprefix(f"refs/{refs.PULL}/")
    if not num.isdecimal() or len(num) > 9:
        raise revision_not_found(revision[:100])
    found = discussions.find(connection, repo, int(num))
    if user.name not in (found.author, repo.id.namespace):
        raise forbidden(f"pull request {num} is {found.author}'s: open one of your own")
    if found.status not in (discussions.OPEN, discussions.DRAFT):
        raise bad_request(f"pull request {num} is {found.status}")
    return num


def _may_commit(call: Call) -> None:
    with call.services.database.reading() as connection:
        _target(connection, call, call.repo(connection))


def _commit(call: Call) -> Response:
    assert call.stream is not None
    blobs, publisher = call.services.blobs, call.services.publisher
    with blobs.staging() as folder:
        payload = payloads.read(call.stream, blobs=blobs, folder=folder)
        with call.services.database.reading() as connection:
            repo = call.repo(connection)
            kind, name, user = _target(connection, call, repo)
        wants_pull = call.flag("create_pr")
        made = publisher.commit(repo, user, payload, kind=kind, name=name, open_pull=wants_pull)
    page = f"{call.base}/{repo.id.url_path}"
    document = {"success": True, "commitOid": made.oid, "commitUrl": f"{page}/commit/{made.oid}"}
    if made.pull is not None:
        document["pullRequestUrl"] = f"{page}/discussions/{made.pull}"
    return Json(document)


class _Tag(msgspec.Struct, frozen=True):
    tag: str
    message: str | None = None


def _create_tag(call: Call) -> Response:
    wanted = call.json(_Tag)
    with call.services.database.writing() as connection:
        repo = call.repo(connection)
        repos.check_owner(repo, call.user)
        oid = refs.resolve(connection, repo, call.params["revision"])
        refs.create_tag(connection, repo, wanted.tag, oid, message=wanted.message)
    return Response(status_code=200)


def _delete_tag(call: Call) -> Response:
    return _delete(call, refs.TAG)


class _Branch(msgspec.Struct, frozen=True):
    startingPoint: str | None = None  # noqa: N815 - the protocol's name


def _create_branch(call: Call) -> Response:
    start = call.json(_Branch).startingPoint or refs.MAIN
    with call.services.database.writing() as connection:
        repo = call.repo(connection)
        repos.check_owner(repo, call.user)
        oid = refs.resolve(connection, repo, start)
        refs.create_branch(connection, repo, call.params["revision"], oid)
    return Response(status_code=200)


def _delete_branch(call: Call) -> Response:
    return _delete(call, refs.BRANCH)


def _delete(call: Call, kind: str) -> Response:
    with call.services.database.writing() as connection:
        repo = call.repo(connection)
        repos.check_owner(repo, call.user)
        refs.delete(connection, repo, kind, call.params["revision"])
    return Response(status_code=200)
