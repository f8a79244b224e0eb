"""What the hub answers when it refuses: a status, the protocol's error code and one line."""

from starlette.responses import JSONResponse

__all__ = [
    "Fault",
    "bad_request",
    "conflict",
    "entry_not_found",
    "forbidden",
    "gated",
    "invalid_token",
    "not_found",
    "repo_not_found",
    "revision_not_found",
    "token_needed",
    "too_large",
]

_MAX_HEADER = 400


class Fault(Exception):
    """A request that is refused.

    Args:
        status: The HTTP status.
        message: One line for the client's user.
        code: The protocol's ``X-Error-Code``, which the stock client turns into an exception.
        headers: Further headers of the answer.
        details: Further members of the answer's JSON document.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "",
        headers: dict[str, str] | None = None,
        details: dict[str, object] | None = None,
    ) -> None:
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers or {}
        self.details = details or {}
        super().__init__(message)

    def response(self) -> JSONResponse:
        """Give the answer: a JSON document, the code and the message also as headers."""
        headers = dict(self.headers)
        if self.code:
            headers["X-Error-Code"] = self.code
        plain = self.message.isascii() and self.message.isprintable()
        if plain and len(self.message) <= _MAX_HEADER:
            headers["X-Error-Message"] = self.message
        return JSONResponse(
            {"error": self.message, **self.details}, status_code=self.status, headers=headers
        )


def bad_request(message: str) -> Fault:
    """A request that makes no sense."""
    return Fault(400, message)


def forbidden(message: str) -> Fault:
    """A request that this user may not make."""
    return Fault(403, message)


def conflict(message: str, **details: object) -> Fault:
    """Something that is there already, or that has changed meanwhile."""
    return Fault(409, message, details=details)


def not_found(message: str) -> Fault:
    """Something that is neither a repository nor a revision nor a file of one."""
    return Fault(404, message)


def too_large(what: str, limit: str) -> Fault:
    """A request beyond a limit."""
    return Fault(413, f"{what} is larger than the {limit} that this hub takes")


def token_needed() -> Fault:
    """A request that only users may make."""
    return Fault(401, "A token is needed: log in with `hf auth login` or set HF_TOKEN")


def invalid_token() -> Fault:
    """A token that nobody has; in the words that the stock client knows."""
    return Fault(401, "Invalid credentials in Authorization header")


def repo_not_found(*, known_user: bool) -> Fault:
    """A repository that is not there, or that this user may not see; the two look the same."""
    return Fault(404 if known_user else 401, "Repository not found", code="RepoNotFound")


def revision_not_found(revision: str) -> Fault:
    """A branch, tag or commit that the repository does not have."""
    return Fault(404, f"Invalid rev id: {revision}", code="RevisionNotFound")


def entry_not_found(path: str, *, commit: str = "") -> Fault:
    """A file that the commit does not have; the commit lets clients remember that."""
    headers = {"X-Repo-Commit": commit} if commit else {}
    return Fault(404, f"Entry not found: {path}", code="EntryNotFound", headers=headers)


def gated(repo: str, *, known_user: bool) -> Fault:
    """A gated repository whose owner has not let this user in."""
    if known_user:
        message = f"Access to {repo} is restricted and you are not in the authorized list"
        return Fault(403, message, code="GatedRepo")
    message = f"Access to {repo} is restricted: a token is needed"
    return Fault(401, message, code="GatedRepo")
