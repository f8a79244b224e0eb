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
    "adapt": "adapt",
    "algebra": "algebra",
    "backbones": "backbones",
    "card": "card",
    "compile-text": "compile_text",
    "demo": "demo",
    "doctor": "doctor",
    "evaluate": "evaluate",
    "export": "export",
    "index": "index",
    "info": "info",
    "list": "search",
    "lock": "lock",
    "port": "port",
    "pull": "registry",
    "push": "publish",
    "search": "search",
    "segment": "segment",
    "serve": "serve",
    "sync": "lock",
    "train": "train",
    "train-labels": "train_labels",
    "validate": "validate",
    "yank": "publish",
}

_INTERRUPTED = 130


class _Lazy(click.Group):
    """Imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"retq_hub.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command


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
