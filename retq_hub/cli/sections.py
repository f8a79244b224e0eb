"""A command whose help lists its options under headings, because there are many."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

__all__ = ["SectionedCommand"]


class SectionedCommand(click.Command):
    """Lists its options by sections; what no section names comes last.

    Args:
        sections: Names of parameters by heading, in the order in which they are shown.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - click's own
        sections: Mapping[str, Sequence[str]],
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*args, **kwargs)
        self._sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section."""
        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        told = {one.name: one.get_help_record(ctx) for one in options}
        named = {name for names in self._sections.values() for name in names}
        rest = [name for name in told if name not in named]
        for heading, names in [*self._sections.items(), ("Other options", rest)]:
            lines = [line for line in map(told.get, names) if line is not None]
            with formatter.section(heading):
                formatter.write_dl(lines)
