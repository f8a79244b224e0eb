"""Paths that a user wrote: as they are meant, and whether something lies there."""

from pathlib import Path

from retq_hub import names
from retq_hub.errors import NotFoundError

__all__ = ["folder_with", "has", "is_folder", "path_of"]


def path_of(name: str | Path) -> Path:
    """Give the path that a user wrote, ``~`` expanded.

    Raises:
        NotFoundError: There is no such home folder.
    """
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise NotFoundError(f"there is no home folder for {name}", hint="check the path") from error


def has(folder: Path, member: str) -> bool:
    """Whether a folder that a user named has a member; a path that cannot be has none."""
    try:
        return (folder / member).exists()
    except (OSError, ValueError):
        return False


def is_folder(name: str, member: str) -> bool:
    """Whether a name is the path of a folder rather than something to be looked up.

    Args:
        name: What can only be a path (``./mine``), or may be a name of a Hub too (``a/b``).
        member: What makes the latter a path: the folder has it.
    """
    return names.is_path(name) or ("/" in name and has(Path(name), member))


def folder_with(name: str, member: str) -> Path | None:
    """Give the folder that a name is the path of; None where the name has to be looked up.

    Args:
        name: What a user wrote.
        member: As for `is_folder`.

    Raises:
        NotFoundError: It can only be a path, and there is no such folder.
    """
    if not is_folder(name, member):
        return None
    folder = path_of(name)
    if not has(folder, "."):
        raise NotFoundError(f"there is no folder {folder}", hint="check the path")
    return folder
