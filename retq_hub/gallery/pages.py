"""The gallery's pages: templates into HTML, with the headers that every one of them has."""

from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retq_hub import markup
from retq_hub.card import NOT_A_DEVICE
from retq_hub.digest import bytes_digest
from retq_hub.gallery import address
from retq_hub.grading import Share, probability_text
from retq_hub.headline import GRADED, headline
from retq_hub.kinds import Estimate
from retq_hub.manifest import Interval, Licence, Target
from retq_hub.tables import LABELS

__all__ = ["STATIC", "Guard", "refuse", "render"]

STATIC = files("retq_hub.gallery").joinpath("static")
"""The files that pages load: style, scripts, drawings."""

_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
_TITLES = {
    404: "Nothing here",
    408: "It took too long",
    413: "Too large",
    415: "No photograph",
    503: "Busy",
}


class Guard:
    """Gives each answer the headers that keep a page to itself.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await self._app(scope, receive, guarded)


def render(
    template: str,
    context: dict[str, Any],
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> HTMLResponse:
    """Give a page.

    Args:
        template: Its file's name.
        context: What it shows; text comes out escaped.
        status: Of the answer.
        headers: Further ones.
    """
    html = _environment().get_template(template).render(context)
    kept = {"Cache-Control": "no-cache"} | (headers or {})
    # A manifest may hold lone surrogates, which are no UTF-8.
    return HTMLResponse(html.encode("utf-8", "replace"), status_code=status, headers=kept)


def refuse(request: Request, status: int, line: str, *, hint: str = "") -> Response:
    """Give the page that says why there is none.

    Args:
        request: What was asked for.
        status: Of the answer.
        line: What is wrong.
        hint: What to do.
    """
    context = {
        "title": _TITLES.get(status, "That did not work"),
        "line": line,
        "hint": hint,
        "here": "",
    }
    return render("refusal.html", context, status=status)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("retq_hub.gallery"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "notice": NOT_A_DEVICE,
        "static": _static,
        "labels": LABELS,
        "grade_labels": GRADED,
        "headline": headline,
        "address": address.write,
    }
    environment.filters |= {
        "day": _day,
        "digest": lambda digest: Markup(markup.digest_code(digest)),
        "bar": _bar,
        "doi": lambda doi: Markup(markup.doi_link(doi)),
        "licence": _licence,
        "estimate": _estimate,
        "probability": probability_text,
        "range": _range,
        "size": _size,
        "swatch": lambda colour: Markup(markup.swatch(colour)),
        "target": _target,
    }
    return environment


@cache
def _static(name: str) -> str:
    """Give the address of a static file; it changes with the file, so that it may be kept."""
    return f"/-/{name}?v={bytes_digest(STATIC.joinpath(name).read_bytes())[:12]}"


def _day(moment: datetime | None) -> Markup:
    if moment is None:
        return Markup("")
    return Markup('<time datetime="{}">{}</time>').format(
        moment.isoformat(), f"{moment.day} {moment:%b %Y}"
    )


def _licence(licence: Licence) -> Markup:
    return Markup(markup.licence_text(licence))


def _target(target: Target) -> Markup:
    return Markup(markup.target_text(target))


def _range(value: Interval) -> Markup:
    return Markup(markup.range_strip(value))


def _estimate(value: Estimate) -> Markup:
    return Markup(markup.estimate_strip(value))


def _bar(share: Share) -> Markup:
    return Markup(markup.share_bar(share.probability, said=share.said, threshold=share.threshold))


def _size(size: int) -> str:
    if size < 1000:
        return f"{size} bytes"
    return f"{size / 1000:.1f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"
