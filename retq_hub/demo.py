"""The main job on embedded defaults: the example photograph through the shipped queries."""

from dataclasses import dataclass, replace
from pathlib import Path

from retq_hub.embedded import EXAMPLE_IMAGE
from retq_hub.images import decode
from retq_hub.pipeline import Pipeline
from retq_hub.progress import Progress
from retq_hub.report import write_report
from retq_hub.segment import Job, Options, segment
from retq_hub.summary import Row

__all__ = ["QUERIES", "Demo", "demo"]

QUERIES = ("idrid-disc", "idrid-lesions", "rop-ridge")


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What the demo wrote.

    Attributes:
        report: The page to open.
        rows: What each query found.
    """

    report: Path
    rows: tuple[Row, ...]


def demo(output: Path, *, image: Path | None = None, progress: Progress) -> Demo:
    """Segment a photograph by the shipped queries and write masks, overlay and a report.

    Args:
        output: A folder for the results.
        image: The photograph; the example that ships with retq-hub if not given.
        progress: Where to report the download of the backbone.

    Raises:
        NetworkError: The backbone's weights cannot be had.
        ImageError: The photograph cannot be used.
        StorageError: The folder cannot be written.
    """
    photograph = image or EXAMPLE_IMAGE
    pipeline = Pipeline.from_pretrained(QUERIES, embed=False, progress=progress)
    job = Job(image=photograph, stem=photograph.stem)
    options = Options(probability="png", force=True)
    outcome = segment(pipeline, [job], output, options=options)
    if outcome.failed:
        raise next(iter(outcome.failed.values()))
    report = output / "report.html"
    picture = decode(photograph)
    backbone = pipeline.backbone
    write_report(
        report,
        title="retq-hub demo",
        image=picture,
        image_name=photograph.name,
        result=pipeline(picture),
        backbone=replace(backbone.spec, weights_digest=backbone.weights_digest),
    )
    return Demo(
        report=report, rows=tuple(row for row in outcome.rows if row.image == str(photograph))
    )
