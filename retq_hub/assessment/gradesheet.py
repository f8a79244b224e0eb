"""An assessment as a page of HTML to send to a colleague, with its JSON document beside it.

Every text is escaped, since manifests and file names come from strangers. The same inputs give the
same bytes.
"""

from html import escape
from pathlib import Path

import retq_hub
from retq_hub import registry
from retq_hub.assessment.gradebook import Assessment, Other, Typical
from retq_hub.assessment.gradetables import (
    confusion_table,
    differences_table,
    figures_table,
    groups_table,
    images_table,
    interval,
    labelled,
    targets_table,
)
from retq_hub.dossier import identity, made_from
from retq_hub.grades import attention_figure, bars_table
from retq_hub.grading import grading
from retq_hub.heatmap import photograph
from retq_hub.images import decode
from retq_hub.labels.labelset import LabelSet
from retq_hub.markup import digest_code, doi_link, facts, figure, licence_text
from retq_hub.page import write_page
from retq_hub.plots import calibration_plot
from retq_hub.result import Classification
from retq_hub.storage import write_json

__all__ = ["DOCUMENT", "PAGE", "write_gradesheet"]

PAGE = "report.html"
DOCUMENT = "evaluation.json"

_PICTURE_PX = 800
_FEW = 30
_SHADE = "0, 114, 178"


def write_gradesheet(folder: Path, found: Assessment, *, labels: LabelSet) -> None:
    """Write ``report.html`` and ``evaluation.json``, each whole or not at all.

    Args:
        folder: Where to.
        found: What the assessment found.
        labels: The split that it was made on.

    Raises:
        ImageError: An image that is to be shown cannot be read any more.
        StorageError: The place cannot be written.
    """
    sections = [
        _overview(found),
        _targets(found),
        _groups(found) if found.groups else "",
        _against(found, found.against) if found.against else "",
        _examples(found),
        _every_image(found),
        _about(found, labels),
    ]
    write_json(folder / DOCUMENT, found.document())
    write_page(
        folder / PAGE,
        title=f"{found.query} on {labels.title}",
        subtitle=f"Split {found.split}: {len(found.images)} photographs, each as a whole, compared "
        "with the labels",
        sections=[one for one in sections if one],
    )


def _overview(found: Assessment) -> str:
    tiles = "".join(
        f"<div><dt>{label}</dt><dd>{one.value:.3f}<small>95&nbsp;% interval "
        f"{interval(one, 3)}</small></dd></div>\n"
        for label, one in labelled(found.figures)
    )
    few = ""
    if len(found.images) < _FEW:
        few = f" With {len(found.images)} photographs an interval is no more than a hint."
    return f"""<section aria-labelledby="overview">
<h2 id="overview">In short</h2>
{_notices(found)}<p class="lead">{escape(found.manifest.summary)}</p>
<dl class="tiles">
{tiles}</dl>
{figures_table(found.figures, n=len(found.images))}
<p class="small">Over all {len(found.images)} photographs. The intervals are of 5,000 resamples of
them; resamples that lack a class do not count.{few}</p>
</section>"""


def _notices(found: Assessment) -> str:
    said = []
    if found.n_trained_on:
        said.append(
            f"The query was trained on {found.n_trained_on} of these {len(found.images)} "
            "photographs: the figures say nothing of new ones."
        )
    if found.n_alike:
        said.append(
            f"{found.n_alike} {'more ' if found.n_trained_on else ''}of the photographs seem to be "
            "among those that it was trained on, in another file."
        )
    if found.contradictions:
        pairs = "; ".join(" = ".join(one) for one in found.contradictions)
        said.append(f"The same file stands under several names, with different labels: {pairs}.")
    return "".join(f'<p class="notice">{escape(one)}</p>\n' for one in said)


def _targets(found: Assessment) -> str:
    bins = [(one.probability, one.observed, one.n) for one in found.reliability]
    error = f"Expected calibration error {found.calibration_error:.4f}"
    of = "each finding" if found.confusion is None else "the predicted class"
    return f"""<section aria-labelledby="targets">
<h2 id="targets">Class by class</h2>
{confusion_table(found)}
{targets_table(found)}
<p class="small">Each against all others; true counts the photographs that have it. A dash: not
defined, since no photograph, or every one, has it.</p>
<div class="plots">
<figure>{calibration_plot(bins, said=f"How often {of} was right over its probability; {error}")}
<figcaption><strong>Calibration.</strong> How often {of} was right, over its probability; on the
dashed line probabilities come true. {error}. A larger dot stands for more
photographs.</figcaption></figure>
</div>
</section>"""


def _groups(found: Assessment) -> str:
    return f"""<section aria-labelledby="groups">
<h2 id="groups">By camera or site</h2>
{groups_table(found)}
</section>"""


def _against(found: Assessment, against: Other) -> str:
    return f"""<section aria-labelledby="against">
<h2 id="against">Against {escape(against.query)}</h2>
<p>The figure of {escape(found.query)} minus that of {escape(against.query)}, both on the same
resampled photographs. Where the interval does not hold zero, chance between photographs alone would
hardly give such a difference.</p>
{differences_table(against)}
</section>"""


def _examples(found: Assessment) -> str:
    shown = "\n".join(_example(one) for one in found.typical)
    return f"""<section class="examples" aria-labelledby="examples">
<h2 id="examples">Typical photographs</h2>
<p>By the probability that the query gave to what is true.</p>
{shown}
</section>"""


def _example(one: Typical) -> str:
    labels = {target.name: target.label for target in one.reading.manifest.targets}
    picture = decode(one.image)
    true = ", ".join(labels[name] for name in one.graded.label) or "no finding"
    said = ", ".join(labels[name] for name in one.graded.predicted) or "no finding"
    pictures = figure(
        photograph(picture, _PICTURE_PX),
        alt=f"The photograph {one.graded.id}",
        caption="The photograph",
    )
    if isinstance(one.reading, Classification) and _looks(one.reading):
        pictures += attention_figure(picture, one.reading, max_side_px=_PICTURE_PX)
    return f"""<div class="pair">
<h3>{one.kind.capitalize()}: {escape(one.graded.id)}, {escape(true)}; predicted {escape(said)}</h3>
<div class="columns">
{pictures}
</div>
{bars_table(grading(one.reading))}
</div>"""


def _looks(reading: Classification) -> bool:
    """Whether some places counted more than others."""
    maps = reading.weights
    return maps is not None and bool((maps.max(axis=(1, 2)) > 1.01 * maps.mean(axis=(1, 2))).any())


def _every_image(found: Assessment) -> str:
    return f"""<section aria-labelledby="every">
<h2 id="every">Every photograph</h2>
{images_table(found)}
<p class="small">By the falling probability of what is true.</p>
</section>"""


def _about(found: Assessment, labels: LabelSet) -> str:
    counts = "; ".join(
        f"{escape(target.label)}: {count}"
        for target, count in zip(labels.targets, labels.counts, strict=True)
    )
    rows = [
        ("Data set", escape(labels.title)),
        ("Split", f"{escape(found.split)}, digest {digest_code(found.split_digest)}"),
        ("Photographs", f"{len(found.images)}; {counts}"),
        ("DOI", doi_link(labels.doi)),
        ("Licence", licence_text(labels.licence)),
        ("Citation", escape(labels.citation or "")),
        ("Caveat", escape(labels.caveat)),
        ("Software", f"retq-hub {retq_hub.__version__}"),
    ]
    backbone = registry.backbone_spec(found.manifest.backbone.id)
    return f"""<section aria-labelledby="about">
<h2 id="about">What was evaluated, and how</h2>
<div class="columns">
<div><h3>The query</h3>
{identity(found.manifest, backbone)}
<h3>Made from</h3>
{made_from(found.manifest)}</div>
<div><h3>The photographs</h3>
{facts(rows)}
<h3>What the figures mean</h3>
{_definitions(found)}</div>
</div>
</section>"""


def _definitions(found: Assessment) -> str:
    rows = [
        (
            "AUROC",
            "How well photographs are ranked, whatever the threshold: one class against all "
            "others, then the mean over the classes that occur.",
        ),
        (
            "Balanced accuracy",
            "Mean share of each class\u2019s photographs that are predicted as such.",
        ),
    ]
    if found.scale == "ordinal":
        rows.insert(
            0,
            (
                "Quadratic kappa",
                "Agreement on the grade beyond chance; a miss counts by its distance, squared.",
            ),
        )
    return facts(rows)
