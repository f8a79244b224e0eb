"""``retq export``: backbone and queries as one ONNX model."""

from pathlib import Path

import click

from retq_hub.cli.console import BarProgress, print_json, print_table
from retq_hub.cli.options import json_option

__all__ = ["export_command"]


@click.command("export")
@click.argument("queries", nargs=-1, required=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The ONNX file."
)
@click.option("--backbone", help="Use this backbone instead of the queries' own.")
@click.option("--allow-mismatch", is_flag=True, help="Even if made for another backbone.")
@json_option
def export_command(
    queries: tuple[str, ...],
    output: Path,
    backbone: str | None,
    allow_mismatch: bool,
    as_json: bool,
) -> None:
    """Write QUERIES with their backbone as one ONNX model.

    Squares of the photograph in, logits on the queries' grids out.
    """
    from retq_hub.onnx_model import export
    from retq_hub.pipeline import Pipeline

    progress = BarProgress()
    pipeline = Pipeline.from_pretrained(
        queries, backbone=backbone, allow_mismatch=allow_mismatch, embed=False, progress=progress
    )
    for note in pipeline.notes:
        progress.note(note)
    done = export(pipeline, output)
    if as_json:
        print_json(
            {
                "output": str(done.path),
                "inputs": {name: list(shape) for name, shape in done.inputs.items()},
                "outputs": {name: list(shape) for name, shape in done.outputs.items()},
                "difference": done.difference,
            }
        )
        return
    rows = [("input", name, _shape(shape)) for name, shape in done.inputs.items()]
    rows += [("output", name, _shape(shape)) for name, shape in done.outputs.items()]
    print_table(("", "name", "shape"), rows)
    if done.difference is None:
        checked = 'not run to compare: pip install "retq-hub[onnx]"'
    else:
        checked = f"logits of the example are {done.difference:.1g} off the pipeline's"
    click.echo(f"{done.path}: {done.path.stat().st_size / 1e6:.0f} MB; {checked}")


def _shape(shape: tuple[str | int, ...]) -> str:
    return " x ".join(map(str, shape))
