"""Where the files that ship with the package lie: schemas, the embedded registry, the example.

In a wheel they travel inside the package; in a checkout they are the project's top-level folders.
"""

from pathlib import Path

__all__ = ["EXAMPLE_IMAGE", "REGISTRY", "SCHEMAS"]

_PACKAGE = Path(__file__).resolve().parent
_ROOT = _PACKAGE / "_embedded" if (_PACKAGE / "_embedded").is_dir() else _PACKAGE.parent

SCHEMAS = _ROOT / "schemas"
REGISTRY = _ROOT / "registry"
EXAMPLE_IMAGE = _ROOT / "examples" / "retina.jpg"
