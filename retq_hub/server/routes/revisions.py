"""Routes that read what a revision holds: refs, history, folders, single paths."""

from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from retq_hub.server import blame, commits, refs, trees
from retq_hub.server.calls import Call, Json
from retq_hub.server.documents import entry_document
from retq_hub.server.endpoints import Endpoint
from retq_hub.server.faults import bad_request, entry_not_found
from retq_hub.server.routes.repositories import REPO

__all__ = ["routes"]

_COMMITS = 100
_ENTRIES = 1000
_EXPANDED = 50
_MAX_PATHS = 2000


def routes(endpoint: Endpoint) -> list[BaseRoute]:
    """Give the routes of this group."""
    return [
        Route(f"{REPO}/refs", endpoint.read(_refs)),
        Route(f"{REPO}/commits/{{revision}}", endpoint.read(_commits)),
        Route(f"{REPO}/tree/{{revision}}", endpoint.read(_tree)),
        Route(f"{REPO}/tree/{{revision}}/{{path:path}}", endpoint.read(_tree)),
        Route(f"{REPO}/paths-info/{{revision}}", endpoint.read(_paths), methods=["POST"]),
    ]


def _refs(call: Call) -> Response:
    with call.services.database.reading() as connection:
        found = refs.listed(connection, call.repo(connection))

    def of(kind: str) -> list[dict[str, str]]:
        return [
            {"name": ref.name, "ref": ref.full, "targetCommit": ref.oid}
            for ref in found
            if ref.kind == kind
        ]

    document = {"branches": of(refs.BRANCH), "converts": [], "tags": of(refs.TAG)}
    if call.flag("include_prs"):
        document["pullRequests"] = of(refs.PULL)
    return Json(document)


def _next(call: Call, **values: str) -> dict[str, str]:
    """Give the header that leads to the next page."""
    query = [one for one in call.query.multi_items() if one[0] not in values]
    address = f"{call.base}{call.path}?{urlencode([*query, *values.items()])}"
    return {"Link": f'<{address}>; rel="next"'}


def _commits(call: Call) -> Response:
    page = call.number("p", 0)
    with call.services.database.reading() as connection:
        repo = call.repo(connection)
        oid = refs.resolve(connection, repo, call.params["revision"])
        found = commits.history(connection, repo.key, oid, skip=page * _COMMITS, limit=_COMMITS + 1)
    headers = _next(call, p=str(page + 1)) if len(found) > _COMMITS else {}
    return Json(
        [
            {
                "id": one.oid,
                "title": one.title,
                "message": one.message,
                "authors": [{"user": one.author}],
                "date": one.created,
            }
            for one in found[:_COMMITS]
        ],
        headers=headers,
    )


def _tree(call: Call) -> Response:
    folder = call.params.get("path", "").strip("/")
    expand = call.flag("expand")
    size, start = _EXPANDED if expand else _ENTRIES, call.number("start", 0)
    with call.services.database.reading() as connection:
        repo = call.repo(connection)
        oid = refs.resolve(connection, repo, call.params["revision"])
        tree = commits.tree_of(connection, repo.key, oid)
        paths = trees.listed(tree, folder, recursive=call.flag("recursive"))
        if folder and not paths:
            raise entry_not_found(folder[:200], commit=oid)
        page = paths[start : start + size]
        last = blame.last_commits(connection, repo.key, oid, page) if expand else {}
    headers = _next(call, start=str(start + size)) if len(paths) > start + size else {}
    return Json(_documents(tree, page, last), headers=headers)


def _documents(
    tree: trees.Tree, paths: list[str], last: dict[str, commits.Commit]
) -> list[dict[str, Any]]:
    found = ((path, trees.info(tree, path)) for path in paths)
    return [entry_document(one, last.get(path)) for path, one in found if one is not None]


def _paths(call: Call) -> Response:
    try:
        form = parse_qs(call.body.decode(), max_num_fields=_MAX_PATHS)
    except (UnicodeDecodeError, ValueError) as error:
        raise bad_request(f"the form cannot be read, or has over {_MAX_PATHS} paths") from error
    paths = [path.strip("/") for path in form.get("paths", [])]
    expand = form.get("expand", [""])[0].lower() in ("1", "true")
    with call.services.database.reading() as connection:
        repo = call.repo(connection)
        oid = refs.resolve(connection, repo, call.params["revision"])
        tree = commits.tree_of(connection, repo.key, oid)
        last = blame.last_commits(connection, repo.key, oid, paths) if expand else {}
    return Json(_documents(tree, paths, last))
