"""Routes of gated repositories: may I, let me in, let them in."""

import sqlite3
from collections.abc import Callable

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from retq_hub.server import accounts, admission, repos
from retq_hub.server.accounts import User
from retq_hub.server.calls import Call, Json
from retq_hub.server.endpoints import Endpoint
from retq_hub.server.faults import bad_request, not_found
from retq_hub.server.repos import Repo
from retq_hub.server.routes.repositories import REPO

__all__ = ["routes"]


def routes(endpoint: Endpoint) -> list[BaseRoute]:
    """Give the routes of this group."""
    asked = f"{REPO}/user-access-request"
    post = ["POST"]
    return [
        Route(f"{REPO}/auth-check", endpoint.read(_may_read)),
        Route(f"{REPO}/auth-check/write", endpoint.read(_may_write)),
        Route(f"{asked}/grant", endpoint.write(_grant), methods=post),
        Route(f"{asked}/handle", endpoint.write(_handle), methods=post),
        Route(f"{asked}/cancel", endpoint.write(_cancel), methods=post),
        Route(f"{asked}/{{status}}", endpoint.read(_listed)),
        Route("/{namespace}/{name}/ask-access", endpoint.write(_ask), methods=post),
        Route("/{kind}/{namespace}/{name}/ask-access", endpoint.write(_ask), methods=post),
    ]


def _may_read(call: Call) -> Response:
    with call.services.database.reading() as connection:
        repos.check_download(connection, call.repo(connection), call.user)
    return Response(status_code=200)


def _may_write(call: Call) -> Response:
    with call.services.database.reading() as connection:
        repos.check_owner(call.repo(connection), call.user)
    return Response(status_code=200)


class _Handled(msgspec.Struct, frozen=True):
    user: str | None = None
    requestId: str | None = None  # noqa: N815 - the protocol's name
    status: str = admission.ACCEPTED


def _grant(call: Call) -> Response:
    return _answer(call, lambda connection, repo, user, _: admission.grant(connection, repo, user))


def _handle(call: Call) -> Response:
    return _answer(call, admission.answer)


def _answer(call: Call, act: Callable[[sqlite3.Connection, Repo, User, str], None]) -> Response:
    wanted = call.json(_Handled)
    with call.services.database.writing() as connection:
        repo = call.repo(connection)
        repos.check_owner(repo, call.user)
        act(connection, repo, _asker(connection, wanted), wanted.status)
    return Json({})


def _asker(connection: sqlite3.Connection, wanted: _Handled) -> User:
    name = wanted.user
    if name is None and wanted.requestId is not None:
        name = accounts.name_of(connection, wanted.requestId)
    user = accounts.find(connection, name) if name else None
    if user is None:
        raise not_found("there is no such user")
    return user


def _cancel(call: Call) -> Response:
    user = repos.require_user(call.user)
    with call.services.database.writing() as connection:
        admission.cancel(connection, call.repo(connection), user)
    return Json({})


def _ask(call: Call) -> Response:
    user = repos.require_user(call.user)
    with call.services.database.writing() as connection:
        status = admission.ask(connection, call.repo(connection), user)
    return Json({"status": status})


def _listed(call: Call) -> Response:
    status = call.params["status"]
    if status not in (admission.PENDING, admission.ACCEPTED, admission.REJECTED):
        raise bad_request("pending, accepted and rejected requests can be listed")
    with call.services.database.reading() as connection:
        repo = call.repo(connection)
        repos.check_owner(repo, call.user)
        found = admission.listed(connection, repo, status)
    return Json(
        [
            {
                "requestId": f"{one.user_id:024x}",
                "status": one.status,
                "timestamp": one.created,
                "user": {"user": one.user, "fullname": one.user},
            }
            for one in found
        ]
    )
