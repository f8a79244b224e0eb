"""Where names are looked up: the folders and URLs in ``RETQ_REGISTRY``, then the embedded."""

import os
import re
from pathlib import Path

from retq_hub.embedded import REGISTRY
from retq_hub.places import path_of

__all__ = ["folders", "is_url", "registries"]

_REST = f"[^{re.escape(os.pathsep)}]"
_PLACE = re.compile(rf"https?://(?:\[[^\]]*\]|[^/:\[]*)(?::\d+)?(?:/{_REST}*)?|{_REST}+")
"""In a URL a colon, which separates places, comes after the scheme and before the port."""


def registries() -> list[str]:
    """Give the registries in the order in which they are asked, the embedded last."""
    return [*_PLACE.findall(os.environ.get("RETQ_REGISTRY", "")), str(REGISTRY)]


def folders() -> list[Path]:
    """Give those that are folders of this machine."""
    return [path_of(one) for one in registries() if not is_url(one)]


def is_url(place: str) -> bool:
    """Whether a registry is named by a URL."""
    return place.startswith(("https://", "http://"))
