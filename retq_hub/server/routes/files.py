"""Routes that deliver files."""

from urllib.parse import quote

from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from retq_hub.server import commits, refs, repos
from retq_hub.server.calls import Call
from retq_hub.server.endpoints import Endpoint
from retq_hub.server.faults import entry_not_found, repo_not_found
from retq_hub.server.trees import Entry

__all__ = ["routes"]


def routes(endpoint: Endpoint) -> list[BaseRoute]:
    """Give the routes of this group."""
    tail = "{name}/resolve/{revision}/{path:path}"
    return [
        Route(f"/{{namespace}}/{tail}", endpoint.read(_resolve)),
        Route(f"/{{kind}}/{{namespace}}/{tail}", endpoint.read(_resolve)),
        Route(f"/{tail}", endpoint.read(_no_namespace)),
    ]


def _no_namespace(call: Call) -> Response:
    raise repo_not_found(known_user=call.user is not None)


def _resolve(call: Call) -> Response:
    path = call.params["path"]
    with call.services.database.reading() as connection:
        repo = call.repo(connection)
        repos.check_download(connection, repo, call.user)
        oid = refs.resolve(connection, repo, call.params["revision"])
        entry = commits.tree_of(connection, repo.key, oid).get(path)
    if entry is None:
        raise entry_not_found(path[:200], commit=oid)
    return FileResponse(
        call.services.blobs.path(entry.sha256),
        media_type="application/octet-stream" if entry.lfs else "text/plain; charset=utf-8",
        headers=_headers(path, entry, oid),
    )


def _headers(path: str, entry: Entry, commit: str) -> dict[str, str]:
    """Give what the client wants to know, and what keeps a browser from running anything."""
    headers = {
        "X-Repo-Commit": commit,
        "ETag": f'"{entry.etag}"',
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(path.split('/')[-1])}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    if entry.lfs:
        headers |= {"X-Linked-Etag": f'"{entry.sha256}"', "X-Linked-Size": str(entry.size)}
    return headers
