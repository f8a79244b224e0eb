"""A form with a photograph as it comes in: read within limits, into memory and nowhere else."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

__all__ = ["MAX_BYTES", "MAX_MB", "Form", "read_form"]

MAX_MB = 40
MAX_BYTES = MAX_MB * 1_000_000
"""The largest form that is read."""

_DRAINED_BYTES = 4 * MAX_BYTES
_TIMEOUT_S = 120
_MAX_FIELDS = 64


@dataclass(frozen=True, kw_only=True)
class Form:
    """What somebody sent.

    Attributes:
        repos: The queries that were chosen.
        backbone: Their backbone.
        example: Whether the example photograph is wanted.
        content: The photograph's file; empty if none was sent.
    """

    repos: tuple[str, ...]
    backbone: str
    example: bool
    content: bytes


class _InMemory(MultiPartParser):
    """A photograph may show a patient: it is not written to a disk, not even for a moment."""

    spool_max_size = MAX_BYTES


async def read_form(request: Request) -> Form:
    """Read the form that a request brings.

    Raises:
        HTTPException: It is too large (413), comes too slowly (408), or is no such form (400, 415).
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise HTTPException(415, f"a form was expected, this is {kind or 'of no kind'}")
    parser = _InMemory(
        request.headers, _limited(request), max_files=1, max_fields=_MAX_FIELDS, max_part_size=2000
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            form = await parser.parse()
    except TimeoutError as error:
        raise HTTPException(408, f"the photograph took over {_TIMEOUT_S} s to arrive") from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the photograph was cut off") from error
    except (MultiPartException, KeyError, UnicodeDecodeError) as error:
        raise HTTPException(400, "the form cannot be read") from error
    try:
        return await _content(form)
    finally:
        await form.close()


async def _limited(request: Request) -> AsyncGenerator[bytes, None]:
    """Give the body's parts; one that is too large is dropped, then refused.

    A browser shows no answer that comes while it is still sending, so the rest is read, up to a
    bound.
    """
    received = 0
    async for part in request.stream():
        received += len(part)
        if received <= MAX_BYTES:
            yield part
        elif received > _DRAINED_BYTES:
            break
    if received > MAX_BYTES:
        raise HTTPException(413, f"the photograph's file is larger than {MAX_MB} MB")


async def _content(form: FormData) -> Form:
    photograph = form.get("photograph")
    content = await photograph.read() if isinstance(photograph, UploadFile) else b""
    repos = [one for one in form.getlist("q") if isinstance(one, str)]
    return Form(
        repos=tuple(dict.fromkeys(repos)),
        backbone=str(form.get("backbone", "")),
        example=bool(form.get("example")),
        content=content,
    )
