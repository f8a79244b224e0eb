"""The parts of a hub, put together over one data folder."""

from dataclasses import dataclass
from pathlib import Path

from retq_hub.errors import NotFoundError, StorageError
from retq_hub.server.blobs import Blobs
from retq_hub.server.catalogue import Catalogue
from retq_hub.server.database import Database
from retq_hub.server.publication import Publisher
from retq_hub.server.uploads import Signer

__all__ = ["Services", "open_database", "open_services"]


_STATE = "hub.sqlite"
_ALLOWED = ("lock", "lost+found")


@dataclass(frozen=True, kw_only=True)
class Services:
    """What requests are answered with."""

    database: Database
    blobs: Blobs
    publisher: Publisher
    catalogue: Catalogue
    signer: Signer


def open_database(data: Path, *, make: bool = True) -> Database:
    """Open the state of a hub.

    Args:
        data: Its folder.
        make: Make a hub where there is none.

    Raises:
        NotFoundError: There is none, and it is not to be made.
        StorageError: The folder cannot be used, or is something else's.
    """
    if not make and not (data / _STATE).exists():
        raise NotFoundError(f"there is no hub in {data}", hint="name its folder with --data")
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        strange = _strange(data)
    except OSError as error:
        raise StorageError(
            f"{data} cannot be used: {error.strerror}", hint="name another folder with --data"
        ) from error
    if strange:
        raise StorageError(
            f"{data} is no hub's folder: it holds {strange} but no {_STATE}",
            hint="name a new or empty folder with --data",
        )
    return Database(data / _STATE)


def _strange(data: Path) -> str:
    """Name something in a folder that is neither a hub's nor empty; else nothing.

    A hub empties its ``scratch`` when it starts, which in another folder may be somebody's work.
    """
    if (data / _STATE).exists():
        return ""
    return min((one.name for one in data.iterdir() if one.name not in _ALLOWED), default="")


def open_services(data: Path, *, refuse_invalid: bool) -> Services:
    """Open a hub.

    Args:
        data: Its folder; no other process may serve it.
        refuse_invalid: Refuse commits whose artifact is not intact.

    Raises:
        StorageError: The folder cannot be used.
    """
    database = open_database(data)
    try:
        blobs = Blobs(data / "blobs", data / "scratch")
    except OSError as error:
        raise StorageError(
            f"{data} cannot be used: {error.strerror}", hint="name another folder with --data"
        ) from error
    return Services(
        database=database,
        blobs=blobs,
        publisher=Publisher(database, blobs, refuse_invalid=refuse_invalid),
        catalogue=Catalogue(database, blobs),
        signer=Signer(database.secret()),
    )
