"""What can be wrong with an artifact whose files are the right ones: shapes, sense, golden test.

No torch, no files: manifest and arrays in, findings out.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from retq_hub.channels import N_CHANNELS, SIDE
from retq_hub.errors import Finding
from retq_hub.manifest import Basis, QueryManifest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = [
    "GOLDEN",
    "GOLDEN_TOLERANCE",
    "MANIFEST",
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

GOLDEN_TOLERANCE = 1e-3
"""Largest allowed absolute deviation of a logit recomputed from the golden tokens."""


def golden_findings(
    vector: "Floats", bias: "Floats", golden: "Mapping[str, NDArray[Any]]"
) -> Iterator[Finding]:
    """Recompute the golden logits from the golden tokens: a finding if they deviate too much."""
    import numpy as np

    logits = golden["tokens"] @ vector.T + bias
    kept = golden["logits"].reshape(len(bias), -1)[:, golden["positions"]].T
    worst = float(np.abs(logits - kept).max())
    if worst > GOLDEN_TOLERANCE:
        what = f"a logit deviates by {worst:.3g} from the query's; {GOLDEN_TOLERANCE} is allowed"
        yield Finding(where=GOLDEN, what=what)


def shape_findings(
    manifest: QueryManifest, query: "Mapping[str, NDArray[Any]]", golden: "Mapping[str, Any]"
) -> Iterator[Finding]:
    """Compare the tensors' names, shapes and types with each other and with the manifest."""
    import numpy as np

    C = len(manifest.targets)
    wanted = {
        QUERY: (query, {"query", "bias"}),
        GOLDEN: (golden, {"positions", "tokens", "logits"}),
    }
    for name, (tensors, names) in wanted.items():
        if set(tensors) != names:
            yield Finding(where=name, what=f"has tensors {sorted(tensors)}, not {sorted(names)}")
            return
    D = query["query"].shape[-1] if query["query"].ndim else 0
    P = golden["positions"].shape[0] if golden["positions"].ndim else 0
    g = golden["logits"].shape[-1] if golden["logits"].ndim else 0
    shapes = {
        "query": (query["query"], (C, D), np.float32),
        "bias": (query["bias"], (C,), np.float32),
        "positions": (golden["positions"], (P,), np.int32),
        "tokens": (golden["tokens"], (P, D), np.float32),
        "logits": (golden["logits"], (C, g, g), np.float32),
    }
    for name, (tensor, shape, dtype) in shapes.items():
        if tensor.shape != shape or tensor.dtype != dtype:
            what = f"is {tensor.dtype} {tensor.shape}, not {np.dtype(dtype)} {shape}"
            yield Finding(where=name, what=what)
            return
        if not np.isfinite(tensor).all():
            yield Finding(where=name, what="holds values that are not finite")
    positions = golden["positions"]
    if P == 0 or positions.min() < 0 or positions.max() >= g * g:
        yield Finding(where="positions", what=f"must lie in 0 ... {g * g - 1} and not be empty")
    size = max(one.side_px for one in manifest.basis.passes)
    if g and size % g and not (manifest.basis.pixels and g == SIDE):
        what = f"{size} pixels do not make a grid of {g} x {g}"
        yield Finding(where=f"{MANIFEST}/basis", what=what)
    from_layers = D - (N_CHANNELS if manifest.basis.pixels else 0)
    if from_layers <= 0 or from_layers % len(manifest.basis.layers):
        what = f"{D} floats cannot come from {len(manifest.basis.layers)} layers of one width"
        yield Finding(where="query", what=what)


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
    """What the schema cannot say: lengths that must agree."""
    C = len(manifest.targets)
    if len(manifest.head.thresholds) != C:
        what = f"has {len(manifest.head.thresholds)} thresholds for {C} targets"
        yield Finding(where=f"{MANIFEST}/head/thresholds", what=what)
    yield from basis_findings(manifest.basis)
    yield from _calibration_findings(manifest)
    if len({target.name for target in manifest.targets}) != C:
        yield Finding(where=f"{MANIFEST}/targets", what="has a name twice")
    for number, data in enumerate(manifest.data):
        if len(data.n_positive) != C:
            what = f"has {len(data.n_positive)} counts for {C} targets"
            yield Finding(where=f"{MANIFEST}/data/{number}/n_positive", what=what)
