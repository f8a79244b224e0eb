"""Publishing on a Hub: validated, compared with what is there, one commit, one tag.

A published version never moves. A repository holds one query or one composed pipeline, and its
versions only go up; a bad one is yanked: a note on the main branch says why, its commit and tag
stay. No torch here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from retq_hub import artifact, names
from retq_hub.errors import (
    NetworkError,
    NotFoundError,
    RetqError,
    UsageError,
)
from retq_hub.hub import writing
from retq_hub.hub.client import endpoint
from retq_hub.hub.reading import Described, describe, digest_of, refs
from retq_hub.parcel import Content, Parcel, at, differences, key_of, pack
from retq_hub.repository import OPTIONAL_FILES, YANKED, Repository, look
from retq_hub.storage import json_text

__all__ = ["FileChange", "Pushed", "push", "yank"]

_PLAIN = frozenset({".gitattributes", ".gitignore", "LICENSE", "README.md", YANKED})
"""A repository with nothing but these holds nothing that a query would bury."""

Kind = Literal["new", "changed", "same", "removed"]


@dataclass(frozen=True, kw_only=True)
class FileChange:
    """What a push does with a file of the repository.

    Attributes:
        size: In bytes, of the file that is sent; of the one on the Hub, if that is removed.
    """

    path: str
    size: int
    kind: Kind


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What a push did, or would do.

    Attributes:
        outcome: ``published``, ``tagged`` (the files were there already), ``unchanged`` (this
            version is published), ``proposed`` (a pull request), ``planned`` (a dry run).
        digest: That of the artifact or of the lock.
        commit: That the version stands for; None if there is none yet.
        url: Where to look at it.
        files: What happens to which file.
        against: The version that it is compared with; None if nothing is published.
        differences: What it says else than that version, a line each.
    """

    outcome: Literal["published", "tagged", "unchanged", "proposed", "planned"]
    repo: str
    name: str
    version: str
    digest: str
    commit: str | None
    url: str
    files: tuple[FileChange, ...]
    against: str | None
    differences: tuple[str, ...]


def push(
    folder: Path,
    repo: str,
    *,
    private: bool = False,
    pr: bool = False,
    message: str | None = None,
    dry_run: bool = False,
) -> Pushed:
    """Publish a query or a composed pipeline; what was cut off is finished by doing it again.

    Args:
        folder: The artifact, or the folder of a composed pipeline; it is not changed.
        repo: ``namespace/name``; made if it is not there.
        private: Make it a private repository, if it has to be made.
        pr: Open a pull request, for a repository of somebody else's; its owner sets the tag.
        message: What is said of the commit.
        dry_run: Say what would be done; nothing is written.

    Raises:
        CheckFailed: The artifact is not fit to be published; lists all that is wrong.
        UsageError: The version is published with other content, or lower than the newest; or the
            repository holds something else.
        NetworkError: No login, somebody else pushed meanwhile, or the Hub did not deliver.
        NotFoundError: ``pr`` to a repository that is not there; the backbone has no description.
    """
    _check_repo(repo)
    parcel = pack(folder, repo)
    if not dry_run:
        writing.check_login()
    there = _there(repo)
    if there is None and pr:
        raise NotFoundError(
            f"the Hub has no {repo} to open a pull request on", hint="push without --pr to make it"
        )
    plan = _plan(parcel, repo, there)
    if plan.outcome == "unchanged" or dry_run:
        return plan
    if there is None:
        writing.create(repo, private=private)
        there = look(repo)
    message = message or f"{parcel.name} {parcel.version}"
    if pr:
        return _proposed(plan, parcel.files, there, message)
    return _published(plan, parcel.files, there, message)


def yank(repo: str, version: str, *, reason: str, undo: bool = False) -> bool:
    """Withdraw a published version, or take that back; its commit and tag stay.

    Args:
        repo: ``namespace/name``.
        version: A published one.
        reason: Shown to whoever pins it.
        undo: Take it back.

    Returns:
        Whether anything was changed.

    Raises:
        NotFoundError: There is no such repository or version.
        NetworkError: No login, somebody else pushed meanwhile, or the Hub refused.
    """
    writing.check_login()
    there = look(repo)
    if version not in there.versions:
        raise NotFoundError(f"{repo} has no version {version}", hint=f"it has {there.said}")
    yanked = {key: value for key, value in there.yanked.items() if key != version}
    yanked |= {} if undo else {version: reason}
    if yanked == there.yanked:
        return False
    writing.commit(
        repo,
        added={YANKED: json_text(yanked).encode()},
        message=f"{'Take back the yank of' if undo else 'Yank'} {version}",
        parent=there.main,
    )
    return True


def _check_repo(repo: str) -> None:
    parsed = names.parse(repo)
    if parsed.kind != "hub" or parsed.pin:
        raise UsageError(f"{repo!r} names no repository", hint="it looks like someone/drusen")


def _there(repo: str) -> Repository | None:
    try:
        there = look(repo)
    except NotFoundError:
        return None
    if there.described is None:
        raise NetworkError("; ".join(there.notes), hint="publishing needs the Hub")
    return there


def _plan(parcel: Parcel, repo: str, there: Repository | None) -> Pushed:
    """Compare with what is there; refuse what must not be published.

    Raises:
        UsageError: The version, the name or the repository does not fit.
    """
    published = _published_version(parcel, there)
    against = published or _newest(parcel, there)
    plan = Pushed(
        outcome="planned",
        repo=repo,
        name=parcel.name,
        version=parcel.version,
        digest=parcel.content.digest,
        commit=None,
        url=f"{endpoint()}/{repo}",
        files=tuple(_changes(parcel.files, there.described if there else None)),
        against=against.version if against else None,
        differences=tuple(differences(against, parcel.content)) if against else (),
    )
    if published is None:
        return plan
    assert there is not None
    if published.digest != parcel.content.digest:
        raise UsageError(
            f"{repo} {parcel.version} is published with other content (digest "
            f"{published.digest[:12]}, here {parcel.content.digest[:12]}), and a published "
            "version never moves",
            hint="raise the version",
        )
    return replace(plan, outcome="unchanged", commit=there.versions[parcel.version], files=())


def _published_version(parcel: Parcel, there: Repository | None) -> Content | None:
    """Give what is published as this very version, if it is.

    Raises:
        UsageError: The repository is of something else, or has newer versions.
    """
    if there is None or there.described is None:
        return None
    key = key_of([*there.described.files])
    if key:
        _check_holds(parcel, there.repo, there.described.commit, key)
    if parcel.version in there.versions:
        return at(there.repo, there.versions[parcel.version], parcel.key)
    if not key and (odd := sorted({*there.described.files} - _PLAIN)):
        raise UsageError(
            f"{there.repo} holds something else than a query: {', '.join(odd[:3])}",
            hint="name another one",
        )
    kept = there.kept
    if kept and names.order(parcel.version) < names.order(kept[-1]):
        raise UsageError(
            f"{there.repo} is at {kept[-1]} already, {parcel.version} is lower",
            hint=f"raise the version above {kept[-1]}",
        )
    return None


def _check_holds(parcel: Parcel, repo: str, commit: str, key: str) -> None:
    """Refuse a repository that holds another query or pipeline than what is pushed."""
    name = at(repo, commit, key).name
    if (key, name) != (parcel.key, parcel.name):
        kind = "query" if key == artifact.MANIFEST else "composed pipeline"
        pushed = parcel.name if key == parcel.key else f"the {parcel.kind} {parcel.name}"
        raise UsageError(
            f"{repo} holds the {kind} {name}, not {pushed}",
            hint="a repository holds one query or pipeline: name another one",
        )


def _newest(parcel: Parcel, there: Repository | None) -> Content | None:
    """Give what the new one is compared with: the newest version, else what is on main."""
    if there is None or there.described is None:
        return None
    if there.kept:
        return at(there.repo, there.versions[there.kept[-1]], parcel.key)
    if parcel.key in there.described.files:
        return at(there.repo, there.described.commit, parcel.key)
    return None


def _changes(files: Mapping[str, bytes], described: Described | None) -> list[FileChange]:
    there = described.files if described else {}
    found = []
    for name, data in sorted(files.items()):
        stated = there.get(name)
        kind: Kind = "new"
        if stated:
            kind = "same" if digest_of(data, like=stated.digest) == stated.digest else "changed"
        found.append(FileChange(path=name, size=len(data), kind=kind))
    gone = [name for name in OPTIONAL_FILES if name in there and name not in files]
    found += [FileChange(path=name, size=there[name].size, kind="removed") for name in gone]
    return found


def _send(
    plan: Pushed, files: Mapping[str, bytes], there: Repository, message: str, *, pr: bool
) -> writing.Committed:
    changes = _changes(files, there.described)
    return writing.commit(
        plan.repo,
        added={one.path: files[one.path] for one in changes if one.kind in ("new", "changed")},
        removed=tuple(one.path for one in changes if one.kind == "removed"),
        message=message,
        parent=there.main or None,
        pull_request=pr,
    )


def _proposed(plan: Pushed, files: Mapping[str, bytes], there: Repository, message: str) -> Pushed:
    if _is_there(files, there.described):
        raise UsageError(
            f"{plan.repo} has these files already", hint="its owner can push to set the tag"
        )
    done = _send(plan, files, there, message, pr=True)
    return replace(plan, outcome="proposed", commit=done.commit, url=done.pull_request or plan.url)


def _published(plan: Pushed, files: Mapping[str, bytes], there: Repository, message: str) -> Pushed:
    """Commit unless the files are there, then tag; a run that was killed between is finished."""
    outcome: Literal["published", "tagged"] = "tagged"
    commit = there.main or ""
    if not _is_there(files, there.described):
        outcome = "published"
        try:
            commit = _send(plan, files, there, message, pr=False).commit
        except RetqError:
            now = describe(plan.repo)
            if not _is_there(files, now):
                raise
            commit = now.commit
    tag = f"v{plan.version}"
    if not writing.tag(plan.repo, tag, commit=commit) and refs(plan.repo).tags.get(tag) != commit:
        raise NetworkError(
            f"somebody else published {plan.repo} {plan.version} meanwhile",
            hint="look at what is there now",
        )
    return replace(plan, outcome=outcome, commit=commit)


def _is_there(files: Mapping[str, bytes], described: Described | None) -> bool:
    return all(one.kind == "same" for one in _changes(files, described))
