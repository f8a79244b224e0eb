"""What may be said about how images are graded, and what of it makes sense."""

from dataclasses import dataclass
from typing import Literal

from retq_hub.errors import UsageError

__all__ = ["FLAIR_C", "L2_PATH", "LabelRecipe", "check_recipe"]

L2_PATH = (1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0)
"""Weights of the classifier's L2 term that cross-validation chooses from."""

FLAIR_C = 0.316
"""Inverse L2 weight of FLAIR's linear probe, as scikit-learn counts it."""

_MOST_VECTORS = 8


@dataclass(frozen=True, kw_only=True)
class LabelRecipe:
    """How images are graded; what is left open is chosen by cross-validation.

    Attributes:
        kind: ``exact``, or ``flair``: as FLAIR's linear probe, with features as they come, its one
            L2 weight, and classes that count the same.
        pooling: ``embedding``: the backbone's image embedding; ``mean``: of the tokens of a basis;
            ``attention``: means of tokens whose weights are learned from the labels too.
        bases: Bases to choose from, see `retq_hub.notation`; all single layers if there are none.
        max_layers: At most so many layers are combined in the search.
        l2: Weight of the classifier's L2 term.
        balanced: Whether all classes count the same, however many images they have.
        vectors: Number of attention vectors that are learned.
        seed: Of all that is drawn or dealt.

    Source: Silva-Rodriguez et al., A Foundation Language-Image Model of the Retina (FLAIR), for
    ``flair``.
    """

    kind: Literal["exact", "flair"] = "exact"
    pooling: Literal["embedding", "mean", "attention"] = "embedding"
    bases: tuple[str, ...] = ()
    max_layers: int = 1
    l2: float | None = None
    balanced: bool = False
    vectors: int = 1
    seed: int = 0


def check_recipe(recipe: LabelRecipe, *, scale: str, weighed: bool) -> None:
    """Refuse what makes no sense.

    Args:
        recipe: How images shall be graded.
        scale: What the labels are.
        weighed: Whether a query weighs the tokens.

    Raises:
        UsageError: It makes no sense.
    """
    if recipe.l2 is not None and not 1e-6 <= recipe.l2 <= 1e6:
        raise UsageError(
            f"an L2 weight of {recipe.l2:g} is out of range, 1e-6 to 1e6", hint="such as 0.1"
        )
    if not 0 <= recipe.seed < 2**31:
        raise UsageError(f"a seed of {recipe.seed} is out of range", hint=f"0 to {2**31 - 1}")
    if not 1 <= recipe.vectors <= _MOST_VECTORS:
        raise UsageError(
            f"{recipe.vectors} attention vectors are out of range", hint=f"1 to {_MOST_VECTORS}"
        )
    if recipe.balanced and scale == "multilabel":
        raise UsageError(
            "findings that may stand together cannot be balanced by image",
            hint="leave --balanced out",
        )
    _check_pooling(recipe, weighed)
    if recipe.kind == "flair":
        _check_flair(recipe, scale, weighed)


def _check_pooling(recipe: LabelRecipe, weighed: bool) -> None:
    if weighed and recipe.pooling != "embedding":
        raise UsageError(
            f"tokens are weighed by a query or pooled by {recipe.pooling}, not both",
            hint="name --weigh-by or --pooling",
        )
    if recipe.pooling == "embedding" and not weighed and (recipe.bases or recipe.max_layers > 1):
        raise UsageError(
            "the backbone's own embedding has no basis to choose",
            hint="use --pooling mean or attention",
        )
    if recipe.vectors > 1 and recipe.pooling != "attention":
        raise UsageError("only learned attention has a number of vectors", hint="leave it out")


def _check_flair(recipe: LabelRecipe, scale: str, weighed: bool) -> None:
    if weighed or recipe.pooling != "embedding" or scale != "multiclass":
        raise UsageError(
            "FLAIR's linear probe classifies the image embedding by classes",
            hint="use --pooling embedding and --scale multiclass",
        )
    if recipe.l2 is not None:
        raise UsageError("FLAIR's linear probe has its own L2 weight", hint="leave --l2 out")
