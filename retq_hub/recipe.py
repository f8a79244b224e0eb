"""What may be said about how a query is trained, and what of it makes sense."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from retq_hub.basis import Basis
from retq_hub.errors import UsageError
from retq_hub.inspection import basis_findings
from retq_hub.losses import CrossEntropy, Loss, SoftDice, SoftmaxEntropy
from retq_hub.notation import parse
from retq_hub.spec import BackboneSpec
from retq_hub.tiling import PassKey
from retq_hub.views import VIEWS

__all__ = ["L2_WEIGHTS", "PAPER_EPOCHS", "Method", "Recipe", "checked_bases", "loss_named"]

L2_WEIGHTS = (1e-4, 3e-4, 1e-3, 3e-3)
"""Weights of the L2 term that cross-validation chooses from."""


Method: TypeAlias = Literal["none", "platt", "isotonic", "prior"]
"""How probabilities are calibrated."""

PAPER_EPOCHS = 150
"""Epochs of the paper's recipe."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a query is trained; what is left open is chosen by cross-validation.

    Attributes:
        kind: ``exact``, or ``paper``: the paper's own, which reads the last layer and chooses
            nothing but the threshold.
        bases: Bases to choose from, see `retq_hub.notation`; a search if there are none.
        max_layers: At most so many layers are combined in the search.
        max_tiles: Up to so many tiles a side are looked at in the search.
        l2: Weight of the L2 term.
        l2_weights: Those that it is chosen from where it is not given.
        loss: What is minimised.
        measure: What bases, L2 weight and thresholds are chosen by.
        calibration: How probabilities are calibrated, see `retq_hub.calibration`.
        sharpen: Whether upsampling led by the image is tried.
        pixels: Whether pixel channels beside the tokens are tried.
        flips: Whether averaging over two and over four flips of the image is tried.
        views: Views of each image that are trained on.
        epochs: Of the paper's recipe.
        seed: Of all that is drawn or dealt.
    """

    kind: Literal["exact", "paper"] = "exact"
    bases: tuple[str, ...] = ()
    max_layers: int = 1
    max_tiles: int = 1
    l2: float | None = None
    l2_weights: tuple[float, ...] = L2_WEIGHTS
    loss: Loss = field(default_factory=CrossEntropy)
    measure: Literal["dice", "iou"] = "dice"
    calibration: Method = "prior"
    sharpen: bool = False
    pixels: bool = False
    flips: bool = False
    views: tuple[str, ...] = ("plain",)
    epochs: int = PAPER_EPOCHS
    seed: int = 0


def loss_named(name: str, *, positive_weight: float) -> Loss:
    """Give a loss by its name.

    Args:
        name: ``entropy``, ``softmax`` or ``dice``.
        positive_weight: How much more pixels of a target count.

    Raises:
        UsageError: The weight is not positive, or the loss has none.
    """
    if not 1e-3 <= positive_weight <= 1e3:
        raise UsageError(
            f"a weight of {positive_weight:g} for positives is out of range, 0.001 to 1000",
            hint="such as 3",
        )
    if name == "dice":
        if positive_weight != 1:
            raise UsageError("the Dice loss has no weight for positives", hint="leave it out")
        return SoftDice()
    if name == "softmax":
        return SoftmaxEntropy(positive_weight=positive_weight)
    return CrossEntropy(positive_weight=positive_weight)


def checked_bases(recipe: Recipe, spec: BackboneSpec) -> list[Basis]:
    """Give the bases that a recipe names, or all single layers and tilings that it looks at.

    Raises:
        UsageError: The recipe makes no sense, or the backbone cannot give such a basis.
    """
    if recipe.l2 is not None and not 1e-9 <= recipe.l2 <= 1e6:
        raise UsageError(
            f"an L2 weight of {recipe.l2:g} is out of range, 1e-9 to 1e6", hint="such as 0.001"
        )
    if not 0 <= recipe.seed < 2**31:
        raise UsageError(f"a seed of {recipe.seed} is out of range", hint=f"0 to {2**31 - 1}")
    if recipe.kind == "paper":
        _check_paper(recipe)
    elif recipe.epochs != PAPER_EPOCHS:
        raise UsageError("the exact recipe has no epochs", hint="leave --epochs out")
    if recipe.bases and (recipe.max_layers, recipe.max_tiles) != (1, 1):
        raise UsageError(
            "where bases are named, layers and tiles are not searched",
            hint="leave --max-layers and --max-tiles out, or --basis",
        )
    if isinstance(recipe.loss, SoftmaxEntropy) and recipe.calibration in ("platt", "isotonic"):
        raise UsageError(
            f"calibration {recipe.calibration} is for single targets, not for a softmax",
            hint="leave --calibration out",
        )
    _check_views(recipe)
    if min(recipe.max_layers, recipe.max_tiles) < 1:
        raise UsageError(
            f"at most {recipe.max_layers} layers of {recipe.max_tiles} tiles leave nothing to read"
        )
    size = spec.preprocessing.size_px
    texts = recipe.bases or [
        f"{tiles}x{tiles}:{layer}"
        for tiles in range(1, recipe.max_tiles + 1)
        for layer in spec.tokens.candidates
    ]
    bases = [parse(text, size_px=size) for text in texts]
    for basis, text in zip(bases, texts, strict=True):
        _check(basis, text, spec)
    return bases


def _check_paper(recipe: Recipe) -> None:
    if recipe != Recipe(kind="paper", seed=recipe.seed, epochs=recipe.epochs):
        raise UsageError(
            "the paper's recipe has no other choices than --seed and --epochs",
            hint="leave the other options out, or use the exact recipe",
        )
    if not 1 <= recipe.epochs <= PAPER_EPOCHS:
        raise UsageError(
            f"{recipe.epochs} epochs of {PAPER_EPOCHS} cannot be run",
            hint=f"name a number from 1 to {PAPER_EPOCHS}",
        )


def _check_views(recipe: Recipe) -> None:
    views = recipe.views
    if "plain" not in views or set(views) - set(VIEWS) or len(set(views)) != len(views):
        raise UsageError(
            f"views {', '.join(views) or 'none'} cannot be trained on",
            hint=f"name plain, and some of {', '.join(VIEWS[1:])}, each once",
        )
    if recipe.flips and len(views) > 1:
        raise UsageError(
            "flips are either averaged or trained on", hint="leave --flips or --views out"
        )


def _check(basis: Basis, text: str, spec: BackboneSpec) -> None:
    depth = spec.tokens.layers
    if wrong := [layer for layer in basis.layers if layer >= depth]:
        raise UsageError(
            f"basis {text}: {spec.id} has no layers {wrong}", hint=f"name some of 0-{depth - 1}"
        )
    if found := list(basis_findings(basis)):
        raise UsageError(f"basis {text}: {found[0].what}", hint="use fewer or smaller passes")
    for one in basis.passes:
        key = PassKey(one.size_px, one.tiles, True, overlap_px=one.overlap_px or 0)
        key.grid(spec.tokens.patch_px)
