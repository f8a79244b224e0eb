"""The parts of a hub, put together over one data folder."""

from dataclasses import dataclass
from pathlib import Path

from retq_hub.errors import StorageError
from retq_hub.server.blobs import Blobs
from retq_hub.server.catalogue import Catalogue
from retq_hub.server.database import Database
from retq_hub.server.publication import Publisher
from retq_hub.server.uploads import Signer

__all__ = ["Services", "open_database", "open_services"]


@dataclass(frozen=True, kw_only=True)
class Services:
    """What requests are answered with."""

    database: Database
    blobs: Blobs
    publisher: Publisher
    catalogue: Catalogue
    signer: Signer


def open_database(data: Path) -> Database:
    """Open the state of a hub; its folder is made if it is not there.

    Raises:
        StorageError: The folder cannot be used.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{data} cannot be used: {error.strerror}", hint="name another folder with --data"
        ) from error
    return Database(data / "hub.sqlite")


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
