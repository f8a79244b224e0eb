"""Put a record of a query on a Hub into a registry's folder, for a pull request."""

from pathlib import Path

from retq_hub import artifact, index, names, remote, schema
from retq_hub.errors import CheckFailed, IntegrityError, NotFoundError, UsageError
from retq_hub.manifest import to_json
from retq_hub.record import Record
from retq_hub.storage import write_json

__all__ = ["add"]


def add(name: str, registry: Path) -> Path:
    """Check a published version, write its record, and the index anew.

    The same version gives the same bytes.

    Args:
        name: ``ns/name`` or ``ns/name@version``; the newest version if none is named.
        registry: The registry's folder.

    Returns:
        The record's file.

    Raises:
        UsageError: This is no published version, it is yanked, or its name is taken.
        NotFoundError: The Hub has no such repository or version, or there is no such folder.
        CheckFailed: The query is not intact.
        NetworkError: The Hub did not deliver, or refused.
        StorageError: The folder cannot be written.
    """
    if not registry.is_dir():
        raise NotFoundError(f"there is no folder {registry}", hint="check the path, or make it")
    parsed = names.parse(name)
    if parsed.kind != "hub":
        raise UsageError(f"{name} is no query on a Hub", hint="name it as someone/drusen@1.0.0")
    found = remote.resolve(parsed.text, parsed.pin)
    if found.version is None or found.yanked is not None:
        what = "is no published version" if found.version is None else f"is yanked: {found.yanked}"
        raise UsageError(f"{name} {what}", hint="name a version that is published and not yanked")
    folder = remote.fetch(found.repo, found.commit)
    if problems := artifact.findings(folder):
        raise CheckFailed(name, problems, hint="tell its authors")
    record = index.record_of(artifact.read(folder), repo=found.repo, commit=found.commit)
    if record.version != found.version:
        raise IntegrityError(
            f"tag v{found.version} of {found.repo} holds version {record.version}",
            hint="tell its authors",
        )
    _check_free(record, registry)
    path = registry / index.RECORDS / record.name / f"{record.version}.json"
    document = {"spec": "retq-record/1", **to_json(record)}
    del document["yanked"]
    schema.check(document, schema.RECORD, subject=str(path))
    write_json(path, document)
    index.write(registry, index.build(registry))
    return path


def _check_free(record: Record, registry: Path) -> None:
    """Refuse a name that belongs to somebody else, and a version that would change."""
    for one in index.build(registry).records:
        if one.name != record.name:
            continue
        if one.repo != record.repo:
            raise UsageError(
                f"{record.name} is {one.repo or one.path} in this registry, not {record.repo}",
                hint="publish the query under another name",
            )
        if one.version == record.version and one.digest != record.digest:
            raise UsageError(
                f"{record.key} is here with digest {one.digest}, the Hub has {record.digest}",
                hint="a published version never moves: raise the version",
            )
