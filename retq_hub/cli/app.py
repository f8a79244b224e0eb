"""The group of all commands, loaded one by one; the one place where errors become exit codes."""

import os
import sys
from importlib import import_module

import click

from retq_hub import __version__
from retq_hub.cli.console import say
from retq_hub.errors import RetqError

__all__ = ["cli", "main"]

_COMMANDS = {
    "adapt": ("adapt", "Adapt a query of texts to a few labelled images."),
    "algebra": ("algebra", "Compare, merge, average and subtract queries of one backbone."),
    "backbones": ("backbones", "List, describe, fetch and verify backbones."),
    "card": ("card", "Make card and picture of an artifact anew."),
    "compile-text": ("compile_text", "Make an artifact of words, for backbones that know texts."),
    "demo": ("demo", "Segment the example photograph and write a report."),
    "doctor": ("doctor", "Check the installation, the cache and the registries."),
    "embed": ("embed", "Keep what a backbone says of images."),
    "evaluate": ("evaluate", "Score a query on a split, and record the figures."),
    "index": ("index", "Build, check and change the index of a registry folder."),
    "info": ("info", "Show what is known of a query."),
    "list": ("search", "List the queries of all registries."),
    "lock": ("lock", "Pin queries and their backbone by commits and digests."),
    "port": ("port", "Carry a query over to another backbone, without labels."),
    "pull": ("registry", "Get verified copies of queries."),
    "push": ("publish", "Publish an artifact on a Hub, as one commit and one tag."),
    "search": ("search", "Find queries in all registries and on the Hub."),
    "segment": ("segment", "Segment and grade images, folders and volumes."),
    "serve": ("serve", "Serve a hub of your own, with a gallery."),
    "sync": ("lock", "Bring here all that a lock pins, verified."),
    "train": ("train", "Train a query on images and masks."),
    "train-labels": ("train_labels", "Train a query that grades, on images with labels."),
    "validate": ("validate", "Check an artifact, and how it behaves."),
    "yank": ("publish", "Withdraw a published version."),
}
"""The module of each command, and what `retq --help` says of it without importing that."""

_INTERRUPTED = 130


class _Lazy(click.Group):
    """Imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"retq_hub.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="retq")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Train, check, share and compose query vectors on frozen retinal backbones.

    Research software, not a medical device: not for diagnosis or treatment.
    """


def main() -> None:
    """Run ``retq`` and leave with its exit code."""
    debug = "--debug" in sys.argv[1:2]
    os.environ.setdefault("HF_HUB_VERBOSITY", "debug" if debug else "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("retq: interrupted; run it again to carry on", err=True)
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except RetqError as error:
        if debug:
            raise
        say(f"retq: {error}")
        sys.exit(error.exit_code)
    except Exception as error:
        if debug:
            raise
        kind = type(error).__name__
        say(f"retq: unexpected {kind}: {error}; `retq --debug ...` shows where")
        sys.exit(1)
