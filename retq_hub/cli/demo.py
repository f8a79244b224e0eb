"""``retq demo``: the main job on embedded defaults."""

from pathlib import Path

import click

from retq_hub.cli.console import BarProgress, print_table
from retq_hub.cli.segment import HEADINGS, WRAPPED, cells

__all__ = ["demo_command"]


@click.command("demo")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("retq-demo"),
    show_default=True,
    help="Folder for the results.",
)
@click.option("--image", type=click.Path(path_type=Path), help="Your own photograph.")
def demo_command(output: Path, image: Path | None) -> None:
    """Segment the example photograph by the shipped queries, and write a report."""
    from retq_hub.demo import demo
    from retq_hub.summary import told

    done = demo(output, image=image, progress=BarProgress())
    rows = [cells(line)[1:] for line in told(done.rows)]
    print_table(HEADINGS[1:], rows, wrap=WRAPPED, right=2)
    click.echo(f"\nOpen {done.report} in a browser.")
    click.echo("Research software, not a medical device: not for diagnosis.")
