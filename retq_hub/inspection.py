"""What can be wrong with an artifact whose files are the right ones: shapes, sense, golden test.

No torch, no files: manifest and arrays in, findings out.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from retq_hub.basis import Basis
from retq_hub.channels import N_CHANNELS, SIDE
from retq_hub.errors import Finding
from retq_hub.kinds import CLASSIFICATION, SEGMENTATION, TEXT
from retq_hub.manifest import QueryManifest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = [
    "GOLDEN",
    "GOLDEN_TOLERANCE",
    "MANIFEST",
    "MAX_MAPS",
    "MAX_RUNS",
    "MAX_SIDE_PX",
    "QUERY",
    "basis_findings",
    "golden_findings",
    "sense_findings",
    "shape_findings",
]

MANIFEST = "retq.json"
QUERY = "query.safetensors"
GOLDEN = "golden.safetensors"

MAX_SIDE_PX = 4096
"""Largest square that a pass may resize an image to."""

MAX_RUNS = 128
"""So often at most the backbone runs for one image."""

MAX_MAPS = 256
"""So many attention vectors at most: each gives every image a map of its own."""

GOLDEN_TOLERANCE = 1e-3
"""Largest allowed absolute deviation of a logit recomputed from the golden tokens."""

_LEAST = {"quadratic_kappa": -1, "auroc": 0, "auprc": 0, "balanced_accuracy": 0, "accuracy": 0}
"""The least value of the image-level figures that are known; 1 is the greatest of all figures."""


def golden_findings(
    query: "Mapping[str, NDArray[Any]]", golden: "Mapping[str, NDArray[Any]]"
) -> Iterator[Finding]:
    """Recompute logits and scores from what is kept of the probe: a finding where they deviate."""
    import numpy as np

    attention = "attention" in query
    found = []
    if "logits" in golden:
        vector = query["attention" if attention else "query"]
        bias = query["attention_bias" if attention else "bias"]
        logits = _products(golden["tokens"], vector, bias)
        kept = golden["logits"].reshape(len(bias), -1)[:, golden["positions"]].T
        found.append(("logit", logits, kept))
    if "scores" in golden:
        scores = _products(golden["pooled"], query["query"], query["bias"])
        found.append(("score", scores, golden["scores"]))
    for word, again, kept in found:
        worst = float(np.abs(again - kept).max())
        if not worst <= GOLDEN_TOLERANCE:
            what = (
                f"a {word} deviates by {worst:.3g} from the query's; {GOLDEN_TOLERANCE} is allowed"
            )
            yield Finding(where=GOLDEN, what=what)


def _products(tokens: "Floats", vector: "Floats", bias: "Floats") -> "Floats":
    """Give dot products and biases; of a stranger's numbers they may be beyond all floats."""
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(tokens @ vector.T + bias)


def shape_findings(
    manifest: QueryManifest, query: "Mapping[str, NDArray[Any]]", golden: "Mapping[str, Any]"
) -> Iterator[Finding]:
    """Compare the tensors' names, shapes and types with each other and with the manifest."""
    import numpy as np

    wanted = _wanted(manifest)
    for name, tensors in ((QUERY, query), (GOLDEN, golden)):
        if set(tensors) != set(wanted[name]):
            what = f"has tensors {sorted(tensors)}, not {sorted(wanted[name])}"
            yield Finding(where=name, what=what)
            return
    sizes = _sizes(manifest)
    for name, tensor in {**query, **golden}.items():
        letters = {**wanted[QUERY], **wanted[GOLDEN]}[name]
        if tensor.ndim == len(letters):
            for letter, size in zip(letters, tensor.shape, strict=True):
                sizes.setdefault(letter, size)
        shape = tuple(sizes.get(letter, 0) for letter in letters)
        dtype = np.int32 if name == "positions" else np.float32
        if tensor.shape != shape or tensor.dtype != dtype:
            what = f"is {tensor.dtype} {tensor.shape}, not {np.dtype(dtype)} {shape}"
            yield Finding(where=name, what=what)
            return
        if name in query and not tensor.size:
            yield Finding(where=name, what=f"is empty: {shape}")
            return
        if not np.isfinite(tensor).all():
            yield Finding(where=name, what="holds values that are not finite")
    if "positions" in golden:
        yield from _map_findings(manifest.bases[-1], golden["positions"], sizes["g"])
    yield from _order_findings(manifest, query["bias"])
    yield from _width_findings(manifest, sizes)


def _wanted(manifest: QueryManifest) -> dict[str, dict[str, str]]:
    """Give the tensors of each file, and the letters of their axes."""
    of_map = {"positions": "P", "tokens": "PD", "logits": "Cgg"}
    if not manifest.is_kind(CLASSIFICATION):
        return {QUERY: {"query": "CD", "bias": "C"}, GOLDEN: of_map}
    query, golden = {"query": "KE", "bias": "L"}, {"pooled": "1E", "scores": "1L"}
    if manifest.pooling is not None and manifest.pooling.method == "attention":
        query |= {"attention": "AD", "attention_bias": "A"}
        golden |= of_map | {"logits": "Agg"}
    return {QUERY: query, GOLDEN: golden}


def _sizes(manifest: QueryManifest) -> dict[str, int]:
    """Give the sizes that the manifest fixes: targets, directions and scores of a classifier."""
    C = len(manifest.targets)
    ordinal = manifest.head.activation == "ordinal"
    return {"1": 1, "C": C, "K": 1 if ordinal else C, "L": C - 1 if ordinal else C}


def _map_findings(basis: Basis, positions: "NDArray[np.int32]", g: int) -> Iterator[Finding]:
    if len(positions) == 0 or positions.min() < 0 or positions.max() >= g * g:
        yield Finding(where="positions", what=f"must lie in 0 ... {g * g - 1} and not be empty")
    size = max(one.side_px for one in basis.passes)
    if g and size % g and not (basis.pixels and g == SIDE):
        what = f"{size} pixels do not make a grid of {g} x {g}"
        yield Finding(where=f"{MANIFEST}/basis", what=what)


def _order_findings(manifest: QueryManifest, bias: "Floats") -> Iterator[Finding]:
    """Refuse grades of which a higher one is likelier reached than a lower one."""
    if manifest.head.activation == "ordinal" and any(low < high for low, high in pairwise(bias)):
        yield Finding(where="bias", what="rises: probabilities of grades would be negative")


def _width_findings(manifest: QueryManifest, sizes: "Mapping[str, int]") -> Iterator[Finding]:
    """Refuse vectors that cannot come from the layers that the manifest names."""
    if manifest.head.similarity is not None:
        return
    pooling = manifest.pooling
    if pooling is None:
        yield from _layer_findings("query", manifest.basis, sizes["D"])
    elif pooling.method == "attention":
        if sizes["A"] > MAX_MAPS:
            what = f"has {sizes['A']} vectors, at most {MAX_MAPS} are read"
            yield Finding(where="attention", what=what)
        yield from _layer_findings("attention", manifest.bases[-1], sizes["D"])
        means = sizes["A"] + bool(pooling.whole)
        if sizes["E"] % means:
            what = f"{sizes['E']} floats cannot come from {means} means of one width"
            yield Finding(where="query", what=what)
            return
        yield from _layer_findings("query", manifest.basis, sizes["E"] // means)


def _layer_findings(where: str, basis: Basis, D: int) -> Iterator[Finding]:
    from_layers = D - (N_CHANNELS if basis.pixels else 0)
    if from_layers <= 0 or from_layers % len(basis.layers):
        what = f"{D} floats cannot come from {len(basis.layers)} layers of one width"
        yield Finding(where=where, what=what)


def basis_findings(basis: Basis) -> Iterator[Finding]:
    """Refuse a basis that cannot be, or that would take memory without end."""
    where = f"{MANIFEST}/basis"
    for one in basis.passes:
        overlap = one.overlap_px or 0
        if overlap and (one.tiles == 1 or 2 * overlap > one.size_px):
            what = f"{one.tiles} tiles of {one.size_px} pixels cannot overlap by {overlap}"
            yield Finding(where=where, what=what)
        if one.side_px > MAX_SIDE_PX:
            what = f"a pass of {one.side_px} pixels a side; at most {MAX_SIDE_PX} are read"
            yield Finding(where=where, what=what)
    kinds = {(one.size_px, one.tiles, one.overlap_px) for one in basis.passes}
    if len(kinds) != len(basis.passes):
        yield Finding(where=where, what="names a pass twice")
    runs = sum(one.tiles**2 for one in basis.passes) * len(basis.views or ("plain",))
    if runs > MAX_RUNS:
        what = f"runs the backbone {runs} times for an image; at most {MAX_RUNS} are allowed"
        yield Finding(where=where, what=what)


def _calibration_findings(manifest: QueryManifest) -> Iterator[Finding]:
    C, calibration = len(manifest.targets), manifest.head.calibration
    if calibration is None:
        return
    where = f"{MANIFEST}/head/calibration"
    for name in ("scale", "offset", "shift", "knots", "ece", "ece_before"):
        values = getattr(calibration, name)
        if values is not None and len(values) != C:
            what = f"has {len(values)} values for {C} targets"
            yield Finding(where=f"{where}/{name}", what=what)
    if (calibration.knots is not None) != (calibration.method == "isotonic"):
        yield Finding(where=where, what=f"{calibration.method} has other members")
    for number, knots in enumerate(calibration.knots or ()):
        if any(x1 < x0 + 1e-3 or y1 < y0 for (x0, y0), (x1, y1) in pairwise(knots)):
            yield Finding(where=f"{where}/knots/{number}", what="does not rise from knot to knot")


def sense_findings(manifest: QueryManifest) -> Iterator[Finding]:
    """What the schema cannot say: lengths that must agree, and members that belong together."""
    C = len(manifest.targets)
    n_thresholds = C if _has_thresholds(manifest) else 0
    if len(manifest.head.thresholds) != n_thresholds:
        what = f"has {len(manifest.head.thresholds)} thresholds for {C} targets"
        what += "" if n_thresholds else ", of which the most probable counts"
        yield Finding(where=f"{MANIFEST}/head/thresholds", what=what)
    for basis in dict.fromkeys((manifest.basis, *manifest.bases)):
        yield from basis_findings(basis)
    yield from _calibration_findings(manifest)
    yield from _kind_findings(manifest)
    yield from _figure_findings(manifest)
    if len({target.name for target in manifest.targets}) != C:
        yield Finding(where=f"{MANIFEST}/targets", what="has a name twice")
    for number, data in enumerate(manifest.data):
        if len(data.n_positive) != C and not manifest.derived:
            what = f"has {len(data.n_positive)} counts for {C} targets"
            yield Finding(where=f"{MANIFEST}/data/{number}/n_positive", what=what)


def _has_thresholds(manifest: QueryManifest) -> bool:
    return not manifest.is_kind(CLASSIFICATION) or manifest.head.activation == "sigmoid"


def _can_answer(manifest: QueryManifest) -> bool:
    """Whether the activation is one of the kind, and what excludes others has others."""
    head, several = manifest.head, len(manifest.targets) > 1
    if head.activation == "ordinal":
        return manifest.is_kind(CLASSIFICATION) and several
    beside = manifest.is_kind(SEGMENTATION) and head.background is None
    return head.activation == "sigmoid" or several or beside


def _figure_findings(manifest: QueryManifest) -> Iterator[Finding]:
    """Refuse figures that cannot be: lists of queries show them, and could not be read again."""
    found: list[tuple[str, str, tuple[float, ...]]] = [
        (f"metrics/{number}/values/{name}", name, (one.mean, one.min, one.max, *one.ci95))
        for number, measured in enumerate(manifest.metrics)
        for name, one in measured.values.items()
    ]
    found += [
        (f"graded/{number}/values/{name}", name, (one.value, *one.ci95))
        for number, graded in enumerate(manifest.graded or ())
        for name, one in graded.values.items()
        if name in _LEAST
    ]
    for where, name, values in found:
        least = _LEAST.get(name, 0)
        if not all(least <= one <= 1 for one in values):
            what = f"is {max(values, key=abs):g}, and must lie in {least} ... 1"
            yield Finding(where=f"{MANIFEST}/{where}", what=what)


def _kind_findings(manifest: QueryManifest) -> Iterator[Finding]:
    """Refuse members that a kind has not, and the lack of those that it must have."""
    kind, head, pooling = manifest.kind or SEGMENTATION, manifest.head, manifest.pooling
    attends = pooling is not None and pooling.method == "attention"
    rules = {
        "pooling": (pooling is not None) == (kind == CLASSIFICATION),
        "pooling/weighting": pooling is None or (pooling.weighting is not None) == attends,
        "pooling/basis": pooling is None or pooling.basis is None or attends,
        "pooling/whole": pooling is None or pooling.whole is None or attends,
        "text": manifest.text is not None
        if kind == TEXT
        else kind != SEGMENTATION or manifest.text is None,
        "head/similarity": (head.similarity is not None) == (manifest.text is not None)
        and not (attends and head.similarity),
        "head/activation": _can_answer(manifest),
        "basis": kind != TEXT or (len(manifest.basis.layers) == 1 and not manifest.basis.pixels),
        "head/guided": head.guided is None or kind != CLASSIFICATION,
        "head/calibration": head.calibration is None or kind != CLASSIFICATION,
        "head/background": head.background is None or kind != CLASSIFICATION,
        "metrics": not manifest.metrics or kind != CLASSIFICATION,
        "graded": not manifest.graded or kind != SEGMENTATION,
        "data": bool(manifest.data) or kind == TEXT,
    }
    for where, holds in rules.items():
        if not holds:
            what = f"is not as it must be in an artifact of kind {kind}"
            yield Finding(where=f"{MANIFEST}/{where}", what=what)
    prompts = manifest.text.prompts if manifest.text else ()
    if manifest.text and len(prompts) != len(manifest.targets):
        what = f"has prompts for {len(prompts)} of {len(manifest.targets)} targets"
        yield Finding(where=f"{MANIFEST}/text/prompts", what=what)
