"""Text from outside, made fit to be shown: it moves no cursor, hides nothing, and has an end."""

__all__ = ["printable"]


def printable(text: str, *, most: int | None = 500) -> str:
    """Give a text that can do no harm to a terminal.

    Args:
        text: From anywhere.
        most: Characters that are kept; None: all.

    Returns:
        The text in one line; what does not show, such as control characters and those that turn
        the direction of writing, is a question mark.
    """
    if not text.isprintable():
        text = "".join(_shown(one) for one in text)
    return text if most is None or len(text) <= most else text[: most - 3] + "..."


def _shown(letter: str) -> str:
    if letter.isprintable():
        return letter
    return " " if letter.isspace() else "?"
