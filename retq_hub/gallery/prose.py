"""A stranger's model card as HTML that does no harm: no scripts, no forms, no pictures.

Markdown is rendered with its HTML taken for text, and what comes out is cleaned once more.
"""

import re
from collections.abc import Sequence
from html import escape

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

__all__ = ["LONGEST", "safe_html"]

LONGEST = 200_000
"""So many characters of a card are shown."""

_HEAD = re.compile(r"\A---[ \t]*\r?\n.*?^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"^<!--[^\n]*-->[ \t]*$", re.MULTILINE)
_TAGS = {
    *("p", "br", "hr", "blockquote", "pre", "code", "em", "strong", "del", "a", "ul", "ol", "li"),
    *("h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}
_SCHEMES = {"http", "https", "mailto"}


def safe_html(card: str) -> str:
    """Render a model card.

    The YAML head and comments that fill a line are left out. Headings begin at the third level. Of
    a picture only its text is left; links lead to the web alone.

    Args:
        card: Markdown from anywhere.
    """
    body = _COMMENT.sub("", _HEAD.sub("", card[:LONGEST], count=1))
    rendered = _renderer().render(body)
    return nh3.clean(
        rendered,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes=_SCHEMES,
        url_relative="deny",
        link_rel="nofollow noopener noreferrer",
    )


def _renderer() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "maxNesting": 30})
    markdown.enable(["table", "strikethrough"])
    markdown.core.ruler.push("lower_headings", _lower_headings)
    markdown.add_render_rule("image", _image)
    return markdown


def _lower_headings(state: StateCore) -> None:
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1:]) + 2)}"


def _image(
    _renderer: RendererProtocol,
    tokens: Sequence[Token],
    index: int,
    _options: OptionsDict,
    _env: EnvType,
) -> str:
    """Give a remote picture's text; a picture of the repository is shown elsewhere on the page."""
    token = tokens[index]
    return escape(token.content) if ":" in str(token.attrGet("src")) else ""
