"""What was evaluated on what, under which licences, and what the figures mean, as HTML."""

from html import escape

import retq_hub
from retq_hub import registry
from retq_hub.boundary import TOLERANCE_PX
from retq_hub.card import combination
from retq_hub.dataset import Dataset
from retq_hub.figures import Evaluation
from retq_hub.markup import digest_code, doi_link, facts, licence_text, target_text

__all__ = ["definitions", "facts_of_data", "facts_of_query"]


def facts_of_query(found: Evaluation, dataset: Dataset) -> str:
    """Give what is known of the query, and what its licence allows together with the data's."""
    manifest = found.manifest
    backbone = registry.backbone_spec(manifest.backbone.id)
    licences = [manifest.licence, backbone.licence, dataset.licence]
    licences += [data.licence for data in manifest.data]
    weights = digest_code(manifest.backbone.weights_digest)
    trained = "; ".join(f"{one.title}, split {one.split}" for one in manifest.data)
    return facts(
        [
            ("Marks", "<br>".join(map(target_text, manifest.targets))),
            ("Version", f"{escape(manifest.version)}, digest {digest_code(manifest.digest)}"),
            ("Authors", escape(", ".join(manifest.authors))),
            ("Trained on", escape(trained)),
            ("Threshold", f"{found.threshold:g}"),
            ("Threshold chosen by", escape(manifest.head.threshold_choice)),
            ("Backbone", f"{escape(backbone.title)}, weights {weights}"),
            ("Licence", licence_text(manifest.licence)),
            ("All licences together", escape(combination(licences))),
            ("Intended use", escape(manifest.intended_use)),
            ("Limits", escape(manifest.limits)),
        ]
    )


def facts_of_data(found: Evaluation, dataset: Dataset) -> str:
    """Give what is known of the images, and how many the query had seen."""
    shown = sum(one.n_positive > 0 for one in found.images)
    trained = f"; {found.n_trained_on} were trained on" if found.n_trained_on else ""
    return facts(
        [
            ("Data set", escape(dataset.title)),
            ("Target", escape(dataset.target.label)),
            ("Split", f"{escape(found.split)}, digest {digest_code(found.split_digest)}"),
            ("Photographs", f"{len(found.images)}; the target is drawn in {shown}{trained}"),
            ("DOI", doi_link(dataset.doi)),
            ("Licence", licence_text(dataset.licence)),
            ("Citation", escape(dataset.citation or "")),
            ("Caveat", escape(dataset.caveat)),
            ("Software", f"retq-hub {retq_hub.__version__}"),
        ]
    )


def definitions(found: Evaluation) -> str:
    """Say what each figure means."""
    tolerance = f"{TOLERANCE_PX * found.size_px / 392:.3g}"
    return facts(
        [
            (
                "Dice, IoU",
                "Overlap of the marked pixels at the query\u2019s threshold; 1 where nothing is "
                "drawn and nothing marked.",
            ),
            (
                "AUROC, AUPRC",
                "How well pixels are ranked, whatever the threshold; AUPRC is average precision. "
                "Not defined where nothing is drawn.",
            ),
            (
                "HD95",
                "95th percentile of the distances between the two outlines, the larger of both "
                f"directions, in pixels of {found.size_px}. Not defined where one is empty.",
            ),
            (
                "Surface Dice",
                f"Share of both outlines that lies within {tolerance} pixels of the other; not "
                "defined where both are empty.",
            ),
            (
                "Lesion",
                "A connected region of the reader\u2019s mask, diagonals included. It is found "
                "where the query\u2019s probability has a peak in it or close by; a peak elsewhere "
                "is a false positive. A region that runs over many lesions has one peak.",
            ),
            (
                "Calibration",
                "Pixels in 15 bins of probability, of equal width; the error is the mean gap "
                "between probability and observed share over all pixels.",
            ),
        ]
    )
