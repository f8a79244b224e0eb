"""The JSON Schemas: load them, and collect everything in a document that breaks them."""

import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from retq_hub.embedded import SCHEMAS
from retq_hub.errors import Finding, ManifestError, NotFoundError

__all__ = [
    "ASSESSMENT",
    "BACKBONE",
    "DESCRIPTORS",
    "EVALUATION",
    "INDEX",
    "LOCK",
    "NOTICES",
    "QUERY",
    "RECORD",
    "check",
    "check_members",
    "findings",
    "read_json",
]

QUERY = "query-1"
BACKBONE = "backbone-1"
INDEX = "index-1"
NOTICES = "notices-1"
RECORD = "record-1"
EVALUATION = "evaluation-1"
ASSESSMENT = "assessment-1"
LOCK = "lock-1"
DESCRIPTORS = "descriptors-1"

_MAX_JSON_BYTES = 64 * 2**20


@cache
def _validator(name: str) -> Any:  # noqa: ANN401 - jsonschema has no public validator type
    from jsonschema import Draft202012Validator

    document = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    return Draft202012Validator(document, format_checker=Draft202012Validator.FORMAT_CHECKER)


def findings(document: Any, schema: str) -> list[Finding]:  # noqa: ANN401 - any JSON value
    """Collect everything in a document that breaks a schema.

    Args:
        document: A JSON value.
        schema: A schema's name, for example `QUERY`.

    Returns:
        The findings in the order of their place in the document; empty if it is valid.
    """
    errors = sorted(_validator(schema).iter_errors(document), key=lambda error: error.json_path)
    return [Finding(where=_place(error) or "(top level)", what=_line(error)) for error in errors]


def check_members(members: Mapping[str, Any], schema: str, *, subject: str) -> None:
    """Refuse members of a document that is still to be made.

    Args:
        members: Some of its top-level members.
        schema: A schema's name.
        subject: What the document is called in the message.

    Raises:
        ManifestError: One breaks its part of the schema; all findings are in it.
    """
    whole = _validator(schema)
    found = [
        Finding(where=name, what=_line(error))
        for name, value in members.items()
        for error in whole.evolve(schema=whole.schema["properties"][name]).iter_errors(value)
    ]
    if found:
        raise ManifestError(subject, found, hint=f"see schemas/{schema}.schema.json")


def _place(error: Any) -> str:  # noqa: ANN401 - jsonschema's ValidationError, imported lazily
    """Give the JSON path; a name with control characters, which may come from outside, quoted."""
    steps = (str(step) for step in error.absolute_path)
    return "/".join(step if step.isprintable() else repr(step) for step in steps)


def _line(error: Any) -> str:  # noqa: ANN401 - jsonschema's ValidationError, imported lazily
    text = str(error.message).replace("\n", " ")
    return text if len(text) <= 200 else text[:197] + "..."


def check(document: Any, schema: str, *, subject: str) -> None:  # noqa: ANN401 - any JSON value
    """Refuse a document that breaks a schema.

    Args:
        document: A JSON value.
        schema: A schema's name.
        subject: What the document is called in the message.

    Raises:
        ManifestError: The document breaks the schema; all findings are in it.
    """
    if found := findings(document, schema):
        raise ManifestError(subject, found, hint=f"correct it after schemas/{schema}.schema.json")


def read_json(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    """Read a JSON file.

    Raises:
        NotFoundError: There is no such file.
        ManifestError: It is not JSON in UTF-8, or unreasonably large.
    """
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise ManifestError(
                str(path), [Finding(where="", what="is larger than 64 MiB")], hint="get it again"
            )
        text = path.read_text(encoding="utf-8")
        document = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}", hint="check the path") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ManifestError(
            str(path),
            [Finding(where="", what=f"cannot be read ({reason})")],
            hint="check the path and its permissions",
        ) from error
    except (ValueError, RecursionError) as error:
        line = str(error).splitlines()[0]
        raise ManifestError(
            str(path), [Finding(where="", what=f"is not JSON ({line})")], hint="get it again"
        ) from error
    return document


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large")
    return number


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
