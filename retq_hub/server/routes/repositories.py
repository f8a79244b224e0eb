"""Routes that make, describe, list, change and delete repositories."""

from typing import Any, Literal
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from retq_hub.server import commits, descriptions, listing, refs, repos, trees
from retq_hub.server.calls import Call, Json
from retq_hub.server.documents import repo_document, select
from retq_hub.server.endpoints import Endpoint
from retq_hub.server.faults import Fault, bad_request, repo_not_found
from retq_hub.server.naming import KINDS, RepoId

__all__ = ["REPO", "routes"]

REPO = "/api/{kind}/{namespace}/{name}"
"""What the routes about one repository begin with."""

_PAGE = 200
_MAX_PAGE = 1000
_NOT_SPOKEN = ("apps", "inference", "inference_provider", "num_parameters", "benchmark")
_SHORT = (
    "private",
    "gated",
    "downloads",
    "likes",
    "tags",
    "pipeline_tag",
    "library_name",
    "createdAt",
    "lastModified",
    "author",
    "disabled",
)
_FULL = (*_SHORT, "sha", "siblings")


def routes(endpoint: Endpoint) -> list[BaseRoute]:
    """Give the routes of this group."""
    return [
        Route(REPO, endpoint.read(_info)),
        Route(f"{REPO}/revision/{{revision}}", endpoint.read(_info)),
        Route(f"{REPO}/settings", endpoint.write(_settings), methods=["PUT"]),
        Route("/api/repos/create", endpoint.write(_create), methods=["POST"]),
        Route("/api/repos/delete", endpoint.write(_delete), methods=["DELETE"]),
        *(Route(f"/api/{kind}", endpoint.read(_list), name=kind) for kind in KINDS),
        Route("/api/{kind}/{name}", endpoint.read(_no_namespace)),
        Route("/api/{kind}/{name}/revision/{revision}", endpoint.read(_no_namespace)),
    ]


def _info(call: Call) -> Response:
    with call.services.database.reading() as connection:
        repo = call.repo(connection)
        oid = refs.resolve(connection, repo, call.params.get("revision", refs.MAIN))
        commit, described = commits.described(connection, repo.key, oid)
        tree = trees.load(connection, commit.tree)
    description = descriptions.decode(described)
    document = repo_document(repo, commit, description, tree, sizes=call.flag("blobs"))
    wanted = call.query.getlist("expand")
    return Json(select(document, wanted) if wanted else document)


def _no_namespace(call: Call) -> Response:
    raise repo_not_found(known_user=call.user is not None)


def _list(call: Call) -> Response:
    for name in _NOT_SPOKEN:
        if name in call.query:
            raise bad_request(f"this hub cannot filter by {name}")
    selection = _selection(call)
    with call.services.database.reading() as connection:
        items, cursor = listing.page(connection, selection, call.user)
    wanted = _members(call)
    documents = [
        select(repo_document(item.repo, item.commit, item.description, item.tree), wanted)
        for item in items
    ]
    headers = {}
    if cursor is not None:
        query = [one for one in call.query.multi_items() if one[0] != "cursor"]
        address = f"{call.base}/api/{selection.kind}?{urlencode([*query, ('cursor', cursor)])}"
        headers["Link"] = f'<{address}>; rel="next"'
    return Json(documents, headers=headers)


def _selection(call: Call) -> listing.Selection:
    query = call.query
    labels = [*query.getlist("filter"), *query.getlist("pipeline_tag"), *query.getlist("library")]
    return listing.Selection(
        kind=call.path.removeprefix("/api/"),
        labels=tuple(part for label in labels for part in label.split(",")),
        author=query.get("author"),
        search=query.get("search"),
        gated=call.flag("gated") if "gated" in query else None,
        sort=query.get("sort", "lastModified"),
        cursor=query.get("cursor"),
        limit=max(1, min(call.number("limit", _PAGE), _MAX_PAGE)),
    )


def _members(call: Call) -> tuple[str, ...]:
    if wanted := call.query.getlist("expand"):
        return tuple(wanted)
    members = _FULL if call.flag("full") else _SHORT
    return (*members, "cardData") if call.flag("cardData") else members


class _Named(msgspec.Struct, frozen=True):
    name: str
    organization: str | None = None
    type: str | None = None
    visibility: Literal["public", "private"] | None = None
    private: bool | None = None


def _repo_id(named: _Named, owner: str) -> RepoId:
    namespace, slash, name = named.name.rpartition("/")
    if not slash:
        namespace = named.organization or owner
    return RepoId(kind=f"{named.type or 'model'}s", namespace=namespace, name=name)


def _create(call: Call) -> Response:
    user = repos.require_user(call.user)
    named = call.json(_Named)
    repo = _repo_id(named, user.name)
    document: dict[str, Any] = {"url": f"{call.base}/{repo.url_path}", "name": str(repo)}
    private = named.visibility == "private" or bool(named.private)
    try:
        call.services.publisher.create(repo, user, private=private)
    except Fault as fault:
        if fault.status == 409:
            fault.details.update(document)
        raise
    return Json({**document, "id": str(repo), "private": private})


def _delete(call: Call) -> Response:
    user = repos.require_user(call.user)
    with call.services.database.reading() as connection:
        repo = repos.find(connection, _repo_id(call.json(_Named), user.name), user)
        repos.check_owner(repo, user)
    call.services.publisher.delete(repo)
    return Response(status_code=200)


class _Settings(msgspec.Struct, frozen=True):
    gated: str | bool | None = None
    visibility: Literal["public", "private"] | None = None
    private: bool | None = None


def _settings(call: Call) -> Response:
    wanted = call.json(_Settings)
    private = wanted.private if wanted.visibility is None else wanted.visibility == "private"
    if wanted.gated not in (None, False, "auto", "manual"):
        raise bad_request(f"gated must be auto, manual or false, not {wanted.gated!r:.50}")
    gate = None if wanted.gated is None else str(wanted.gated or "")
    with call.services.database.writing() as connection:
        repo = call.repo(connection)
        repos.check_owner(repo, call.user)
        repos.change(connection, repo, private=private, gate=gate)
    return Json({"private": repo.private if private is None else private, "gated": gate or False})
