"""Routes of large files: git LFS's batch, signed uploads, and why there is no xet."""

import re
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from retq_hub.server import holdings, repos
from retq_hub.server.blobs import BlobWriter
from retq_hub.server.calls import Call, Json
from retq_hub.server.endpoints import Endpoint, Threads, receive
from retq_hub.server.faults import bad_request, not_found
from retq_hub.server.repos import Repo
from retq_hub.server.routes.repositories import REPO
from retq_hub.server.uploads import Upload

__all__ = ["routes"]

_LARGEST = 64 * 2**30
_MAX_OBJECTS = 1000
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LFS = "{name}.git/info/lfs"


def routes(endpoint: Endpoint) -> list[BaseRoute]:
    """Give the routes of this group."""
    batch, verify = endpoint.read(_batch), endpoint.read(_verify)
    upload = endpoint.streaming(partial(_upload, endpoint.threads))
    return [
        Route(f"/{{namespace}}/{_LFS}/objects/batch", batch, methods=["POST"]),
        Route(f"/{{kind}}/{{namespace}}/{_LFS}/objects/batch", batch, methods=["POST"]),
        Route(f"/{{namespace}}/{_LFS}/verify", verify, methods=["POST"]),
        Route(f"/{{kind}}/{{namespace}}/{_LFS}/verify", verify, methods=["POST"]),
        Route("/lfs/{sha256}", upload, methods=["PUT"]),
        Route(f"{REPO}/xet-write-token/{{revision}}", endpoint.read(_no_xet)),
    ]


class _Object(msgspec.Struct, frozen=True):
    oid: str
    size: int


class _Batch(msgspec.Struct, frozen=True):
    operation: str
    objects: list[_Object]
    hash_algo: str = "sha256"


def _batch(call: Call) -> Response:
    wanted = call.json(_Batch)
    if wanted.operation != "upload" or wanted.hash_algo != "sha256":
        raise bad_request("only uploads with sha256 are spoken here; files are at /resolve/")
    if len(wanted.objects) > _MAX_OBJECTS:
        raise bad_request(f"a batch holds at most {_MAX_OBJECTS} files")
    user = repos.require_user(call.user)
    with call.services.database.reading() as connection:
        repo = call.repo(connection)
        repos.check_download(connection, repo, user)
        answers = []
        for one in wanted.objects:
            _check_object(one)
            there = holdings.find(connection, repo.key, one.oid)
            answers.append(_answer(call, repo, one, there=there is not None))
    return Json(
        {"transfer": "basic", "objects": answers}, media_type="application/vnd.git-lfs+json"
    )


def _check_object(one: _Object) -> None:
    if not _SHA256.fullmatch(one.oid):
        raise bad_request(f"{one.oid[:100]!r} is no SHA-256")
    if not 0 <= one.size <= _LARGEST:
        raise bad_request(f"a file may have up to 64 GiB, not {one.size} bytes")


def _answer(call: Call, repo: Repo, one: _Object, *, there: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {"oid": one.oid, "size": one.size, "authenticated": True}
    if not there:
        upload = Upload(sha256=one.oid, size=one.size, repo=repo.key)
        query = urlencode(call.services.signer.query(upload))
        page = f"{call.base}/{repo.id.url_path}.git/info/lfs/verify"
        answer["actions"] = {
            "upload": {"href": f"{call.base}/lfs/{one.oid}?{query}"},
            "verify": {"href": page},
        }
    return answer


def _verify(call: Call) -> Response:
    wanted = call.json(_Object)
    repos.require_user(call.user)
    with call.services.database.reading() as connection:
        blob = holdings.find(connection, call.repo(connection).key, wanted.oid)
    if blob is None or blob.size != wanted.size:
        raise not_found("that file was not uploaded to this repository")
    return Json({"success": True})


async def _upload(threads: Threads, request: Request, call: Call) -> Response:
    """Take a file whose address is signed; it carries no token."""
    upload = _signed(call)
    services = call.services
    with services.blobs.staging() as folder:
        writer = BlobWriter(Path(folder) / "blob", size=upload.size)
        try:
            await receive(request, writer.write, threads, limit=upload.size, what="the file")
            staged = await threads.run(writer.finish, writes=True)
        finally:
            writer.close()
        if staged.blob.sha256 != upload.sha256:
            raise bad_request(
                f"what was sent has SHA-256 {staged.blob.sha256}, {upload.sha256} was announced"
            )
        await threads.run(partial(services.publisher.receive, upload.repo, staged), writes=True)
    return Response(status_code=200)


def _signed(call: Call) -> Upload:
    query = {name: call.query.get(name, "") for name in ("size", "repo", "expires", "signature")}
    if not all(query[name].isdecimal() and len(query[name]) < 16 for name in list(query)[:3]):
        raise bad_request("the upload address is not one of this hub")
    upload = Upload(sha256=call.params["sha256"], size=int(query["size"]), repo=int(query["repo"]))
    call.services.signer.check(upload, expires=query["expires"], signature=query["signature"])
    return upload


def _no_xet(call: Call) -> Response:
    raise not_found("this hub has no xet storage: set HF_HUB_DISABLE_XET=1 and try again")
