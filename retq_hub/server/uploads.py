"""Signed addresses for the upload of large files, which carry no token."""

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass

from retq_hub.server.faults import Fault, forbidden

__all__ = ["Signer", "Upload"]

_VALID_S = 6 * 3600


@dataclass(frozen=True, kw_only=True)
class Upload:
    """What an address is for: a file, and the repository that may refer to it afterwards."""

    sha256: str
    size: int
    repo: int


class Signer:
    """Makes and checks signatures.

    Args:
        secret: What signatures are made with.
        clock: Gives the time in seconds.
    """

    def __init__(self, secret: bytes, *, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock

    def query(self, upload: Upload) -> dict[str, str]:
        """Give the query of an address that is valid for some hours."""
        expires = str(int(self._clock()) + _VALID_S)
        return {
            "size": str(upload.size),
            "repo": str(upload.repo),
            "expires": expires,
            "signature": self._sign(upload, expires),
        }

    def check(self, upload: Upload, *, expires: str, signature: str) -> None:
        """Refuse an address that is not ours, or too old.

        Raises:
            Fault: 403.
        """
        expected = self._sign(upload, expires)
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise forbidden("the upload address is not signed by this hub")
        if int(expires) < self._clock():
            raise Fault(403, "the upload address has expired: start the upload again")

    def _sign(self, upload: Upload, expires: str) -> str:
        text = f"{upload.sha256}\n{upload.size}\n{upload.repo}\n{expires}"
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()
