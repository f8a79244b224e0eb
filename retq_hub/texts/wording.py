"""What is looked for, in words: targets with their prompts, given one by one or in a file.

A file of descriptors is JSON (``schemas/descriptors-1.schema.json``) or a CSV with the columns
``category`` and ``descriptor``, a row for each prompt. No torch here.
"""

import csv
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retq_hub import names, schema, sources
from retq_hub.errors import BadInputError, NotFoundError, UsageError

__all__ = ["Wording", "checked", "of_prompts", "of_target", "read", "shipped"]

_COLUMNS = ("category", "descriptor")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, kw_only=True)
class Wording:
    """A target in words.

    Attributes:
        label: What it is called.
        prompts: What is said of it; their embeddings are averaged.
    """

    label: str
    prompts: tuple[str, ...]

    @property
    def name(self) -> str:
        """The target's name: its label in lower case, with hyphens.

        Raises:
            UsageError: The label has no letter or digit of English.
        """
        return names.slug(self.label)


def of_prompts(prompts: Iterable[str]) -> list[Wording]:
    """Make a target of each prompt."""
    return [Wording(label=prompt.strip(), prompts=(prompt.strip(),)) for prompt in prompts]


def of_target(text: str, known: Mapping[str, Wording], *, origin: str) -> Wording:
    """Make a target of ``NAME=PROMPT;PROMPT``, or of the ``NAME`` of a category.

    Args:
        text: As above.
        known: Categories by their labels.
        origin: Where they are from, for messages.

    Raises:
        NotFoundError: There is no such category.
    """
    label, equals, prompts = (part.strip() for part in text.partition("="))
    if equals:
        return Wording(label=label, prompts=tuple(one.strip() for one in prompts.split(";")))
    if label not in known:
        near = difflib.get_close_matches(label, known, n=3)
        raise NotFoundError(
            f"there is no category {label!r} in {origin}",
            hint=f"did you mean {' or '.join(near)}?"
            if near
            else f"say what it is: --target {label!r}=PROMPT, or --prompt",
        )
    return known[label]


def read(path: Path) -> dict[str, Wording]:
    """Read a file of descriptors, JSON or CSV.

    Returns:
        Targets by their labels, in the order of the file.

    Raises:
        NotFoundError: There is no such file.
        BadInputError: It is not as it must be; all findings are in the message.
    """
    if path.suffix.lower() == ".csv":
        found = _from_csv(path)
    else:
        document = schema.read_json(path)
        schema.check(document, schema.DESCRIPTORS, subject=str(path))
        found = document["categories"]
    return {
        label: Wording(label=label, prompts=tuple(prompt.strip() for prompt in prompts))
        for label, prompts in found.items()
    }


def shipped(backbone: str) -> Path | None:
    """Give the descriptors that a registry has for a backbone; None: there are none."""
    for folder in sources.folders():
        path = folder / "descriptors" / f"{backbone}.json"
        if path.is_file():
            return path
    return None


def checked(wordings: Sequence[Wording]) -> tuple[Wording, ...]:
    """Refuse targets that cannot be told apart, and prompts that say nothing.

    Raises:
        UsageError: One target only, an empty prompt, a prompt or a name twice, or a label of which
            no name can be made.
    """
    if len(wordings) < 2:
        raise UsageError(
            f"{len(wordings) or 'no'} target is named; probabilities are of one against the others",
            hint='name what it is to be told from as well: --prompt "healthy retina"',
        )
    seen: dict[str, str] = {}
    for one in wordings:
        for prompt in one.prompts:
            _check(prompt, one.label)
            if prompt in seen:
                which = "" if seen[prompt] == one.label else f", for {seen[prompt]} and {one.label}"
                raise UsageError(
                    f"the prompt {prompt!r} is given twice{which}", hint="leave one out"
                )
            seen[prompt] = one.label
    found = [one.name for one in wordings]
    for name in found:
        if found.count(name) > 1:
            raise UsageError(f"two targets are named {name!r}", hint="rename one")
    return tuple(wordings)


def _check(prompt: str, label: str) -> None:
    if not prompt:
        of = f" of {label!r}" if label else ""
        raise UsageError(f"a prompt{of} is empty", hint="say what is looked for")
    if _CONTROL.search(prompt + label):
        raise UsageError(f"{label!r}: {prompt!r} has control characters", hint="leave them out")


def _from_csv(path: Path) -> dict[str, list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if not set(_COLUMNS) <= set(reader.fieldnames or ()):
                raise BadInputError(
                    f"{path} has columns {', '.join(reader.fieldnames or ())}, not "
                    f"{' and '.join(_COLUMNS)}",
                    hint="name them so in its first line",
                )
            rows = [tuple((row[column] or "").strip() for column in _COLUMNS) for row in reader]
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}", hint="check the path") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(f"{path} cannot be read as CSV ({error})") from error
    found: dict[str, list[str]] = {}
    for number, (label, prompt) in enumerate(rows, start=2):
        if not label or not prompt:
            raise BadInputError(
                f"{path}, line {number}: category or descriptor is empty", hint="fill it in"
            )
        found.setdefault(label, []).append(prompt)
    return found
