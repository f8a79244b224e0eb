"""What every page of HTML has: its head, its style, its policy, and where it goes.

A page stands alone: it loads nothing and runs nothing, and tells the browser so. The sections are
HTML already; titles are plain text from anywhere.
"""

from collections.abc import Iterable
from html import escape
from importlib.resources import files
from pathlib import Path

from retq_hub.card import NOT_A_DEVICE
from retq_hub.storage import write_text

__all__ = ["write_page"]

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'"


def write_page(path: Path, *, title: str, subtitle: str, sections: Iterable[str]) -> None:
    """Write a page, whole or not at all.

    Args:
        path: The HTML file.
        title: The page's heading.
        subtitle: The line below it.
        sections: HTML, each a section.

    Raises:
        StorageError: The place cannot be written.
    """
    parts = [_head(title, subtitle), "<main>", *sections, "</main>\n</body>\n</html>\n"]
    # A file's name may hold bytes that are no UTF-8, as lone surrogates.
    write_text(path, "\n".join(parts).encode("utf-8", "replace").decode("utf-8"))


def _head(title: str, subtitle: str) -> str:
    style = files("retq_hub").joinpath("report.css").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p>{escape(subtitle)}</p>
<p class="notice">{escape(NOT_A_DEVICE)}</p>
</header>"""
