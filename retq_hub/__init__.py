"""retq-hub: train, check, publish and compose query vectors on frozen retinal backbones.

The names below are loaded on first use, so that ``import retq_hub`` costs nothing and the parts of
the command line that need no network weights start without importing torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retq_hub.backbone import Backbone
    from retq_hub.errors import RetqError
    from retq_hub.evaluation import evaluate
    from retq_hub.labels.adaptation import adapt
    from retq_hub.pipeline import Pipeline
    from retq_hub.porting import port
    from retq_hub.query import Query
    from retq_hub.result import Classification, Result, Segmentation, ZeroShot
    from retq_hub.training import train
    from retq_hub.validation import validate

__version__ = "0.1.0"

_HOMES = {
    "Backbone": "retq_hub.backbone",
    "Classification": "retq_hub.result",
    "Pipeline": "retq_hub.pipeline",
    "Query": "retq_hub.query",
    "Result": "retq_hub.result",
    "RetqError": "retq_hub.errors",
    "Segmentation": "retq_hub.result",
    "ZeroShot": "retq_hub.result",
    "adapt": "retq_hub.labels.adaptation",
    "evaluate": "retq_hub.evaluation",
    "port": "retq_hub.porting",
    "train": "retq_hub.training",
    "validate": "retq_hub.validation",
}

__all__ = [
    "Backbone",
    "Classification",
    "Pipeline",
    "Query",
    "Result",
    "RetqError",
    "Segmentation",
    "ZeroShot",
    "adapt",
    "evaluate",
    "port",
    "train",
    "validate",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the type differs from name to name
    """Import a public name from its module the first time it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'retq_hub' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
