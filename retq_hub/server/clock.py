"""The time, as it is stored and sent: UTC with milliseconds, which sort as text."""

from datetime import UTC, datetime

__all__ = ["now", "seconds"]


def now() -> str:
    """Give the time, for example ``2026-11-22T08:31:38.123Z``."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds(stamp: str) -> int:
    """Give a stored time as whole seconds since 1970, as git counts them."""
    return int(datetime.fromisoformat(stamp).timestamp())
