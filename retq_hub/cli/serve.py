"""``retq serve``: a hub of one's own, and the users of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from retq_hub.errors import NotFoundError, UsageError

__all__ = ["serve_command"]

_data = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="The hub's folder; made if it is not there.",
)


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is missing, which `retq serve` needs",
            hint='pip install "retq-hub[server]"',
        ) from error


class _Serve(click.Group):
    """Needs ``--data`` only where no subcommand has its own."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "--data DIR [OPTIONS]")
        formatter.write_usage(ctx.command_path, "user add|list|remove --data DIR")


@click.group("serve", cls=_Serve, invoke_without_command=True)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="The hub's folder; made if it is not there.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port to listen at; 0: any free one.",
)
@click.option("--refuse-invalid", is_flag=True, help="Refuse commits whose artifact is not intact.")
@click.pass_context
def serve_command(
    ctx: click.Context, data: Path | None, host: str, port: int, refuse_invalid: bool
) -> None:
    """Serve a hub that speaks the Hugging Face protocol, with a gallery for people.

    It prints its address when it is ready. Clients find it by HF_ENDPOINT, people by a browser.
    """
    if ctx.invoked_subcommand is not None:
        return
    if data is None:
        raise UsageError("--data is missing", hint="name the hub's folder")
    with _extra():
        from retq_hub.server.service import serve
        from retq_hub.server.shelf import pages
    serve(
        data,
        host=host,
        port=port,
        refuse_invalid=refuse_invalid,
        ready=click.echo,
        pages=[pages],
    )


@serve_command.group("user")
def _user() -> None:
    """Add, list and remove users; also while the hub is served."""


def _check_hub(data: Path) -> None:
    """Refuse a folder that is no hub's, which opening it would make."""
    if not data.is_dir() or not any(data.iterdir()):
        raise NotFoundError(f"{data} holds no hub", hint="name the folder that is served")


@_user.command("add")
@click.argument("name")
@_data
def _add(name: str, data: Path) -> None:
    """Make a user and print the token; it is never shown again."""
    with _extra():
        from retq_hub.server import accounts
        from retq_hub.server.services import open_database
    with open_database(data).writing() as connection:
        token = accounts.add(connection, name)
    click.echo(token)


@_user.command("list")
@_data
def _list(data: Path) -> None:
    """Print the users' names."""
    _check_hub(data)
    with _extra():
        from retq_hub.server import accounts
        from retq_hub.server.services import open_database
    with open_database(data).reading() as connection:
        for name in accounts.names(connection):
            click.echo(name)


@_user.command("remove")
@click.argument("name")
@_data
def _remove(name: str, data: Path) -> None:
    """Remove a user and the token; repositories stay."""
    _check_hub(data)
    with _extra():
        from retq_hub.server import accounts
        from retq_hub.server.services import open_database
    with open_database(data).writing() as connection:
        accounts.remove(connection, name)
