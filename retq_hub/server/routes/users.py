"""Routes about users and about what is no repository: who am I, is this card all right."""

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from retq_hub.server import accounts, cards, repos
from retq_hub.server.calls import Call, Json
from retq_hub.server.endpoints import Endpoint
from retq_hub.server.faults import not_found

__all__ = ["routes"]


def routes(endpoint: Endpoint) -> list[BaseRoute]:
    """Give the routes of this group."""
    return [
        Route("/api/whoami-v2", endpoint.read(_whoami)),
        Route("/api/agent-harnesses", endpoint.read(_agents)),
        Route("/api/users/{user}/overview", endpoint.read(_overview)),
        Route("/api/validate-yaml", endpoint.read(_validate), methods=["POST"]),
    ]


def _whoami(call: Call) -> Response:
    user = repos.require_user(call.user)
    token = {"displayName": "retq", "role": "write", "createdAt": user.created}
    return Json(
        {
            "type": "user",
            "id": f"{user.id:024x}",
            "name": user.name,
            "fullname": user.name,
            "isPro": False,
            "canPay": False,
            "avatarUrl": "",
            "orgs": [],
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


def _agents(call: Call) -> Response:
    return Json({})


def _overview(call: Call) -> Response:
    with call.services.database.reading() as connection:
        user = accounts.find(connection, call.params["user"])
    if user is None:
        raise not_found("there is no such user")
    return Json({"user": user.name, "fullname": user.name, "avatarUrl": "", "type": "user"})


class _Card(msgspec.Struct, frozen=True):
    content: str


def _validate(call: Call) -> Response:
    try:
        card = cards.read(call.json(_Card).content)
    except cards.BadCard as error:
        return Json({"errors": [{"message": str(error)}], "warnings": []}, status_code=400)
    found = [{"message": line} for line in cards.warnings(card)]
    return Json({"errors": [], "warnings": found})
