"""What is said of a registry's queries after they were published: ``notices.json`` in its folder.

An artifact never changes, so that it was withdrawn or has a successor stands beside it.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from retq_hub import schema
from retq_hub.manifest import from_json, to_json
from retq_hub.storage import write_json

__all__ = ["Notices", "read", "yank"]

_FILE = "notices.json"


@dataclass(frozen=True, kw_only=True)
class Notices:
    """What is said of versions, by ``name@version``.

    Attributes:
        yanked: Why they were withdrawn.
        superseded: ``name`` or ``name@version`` of what to use instead.
    """

    yanked: dict[str, str] = field(default_factory=dict)
    superseded: dict[str, str] = field(default_factory=dict)
    spec: str = "retq-notices/1"


def read(registry: Path) -> Notices:
    """Read the notices of a registry; without a file there are none.

    Raises:
        ManifestError: The file breaks its schema.
    """
    path = registry / _FILE
    if not path.exists():
        return Notices()
    document = schema.read_json(path)
    schema.check(document, schema.NOTICES, subject=str(path))
    return from_json(document, Notices)


def yank(registry: Path, key: str, reason: str | None) -> None:
    """Note that a version is withdrawn, or no longer.

    Args:
        registry: The registry's folder.
        key: ``name@version``.
        reason: Why; None takes an earlier notice back.

    Raises:
        ManifestError: The notices that are there, or the new one, break the schema.
        StorageError: The folder cannot be written.
    """
    notices = read(registry)
    yanked = {name: why for name, why in notices.yanked.items() if name != key}
    if reason is not None:
        yanked[key] = reason
    document = to_json(replace(notices, yanked=yanked))
    schema.check(document, schema.NOTICES, subject="the notice")
    write_json(registry / _FILE, document)
