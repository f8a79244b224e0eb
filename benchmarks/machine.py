"""What a measurement was made on: processor, memory, system, Python, packages; nothing of whose."""

import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from retq_hub.engines.hardware import cpu_name

__all__ = ["Machine", "machine"]

PACKAGES = (
    "retq-hub",
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "pillow",
    "scipy",
    "scikit-learn",
    "safetensors",
    "huggingface_hub",
    "openvino",
    "onnx",
    "onnxruntime",
    "ray",
    "pyarrow",
    "fsspec",
)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine, as far as it matters for time.

    Attributes:
        cpu: The processor's model.
        cores: Cores that this process may use.
        memory_gib: Memory in GiB.
        gpu: The GPU's model and memory, or None.
        system: The operating system and its release.
        python: Python's implementation and version.
        packages: Versions of the packages that are installed.
    """

    cpu: str
    cores: int
    memory_gib: float
    gpu: str | None
    system: str
    python: str
    packages: dict[str, str]

    def document(self) -> dict[str, Any]:
        """Give it as JSON."""
        return asdict(self)

    def rows(self) -> list[tuple[str, str]]:
        """Give it as lines of a table: what, and which."""
        return [
            ("processor", f"{self.cpu}, {self.cores} cores"),
            ("memory", f"{self.memory_gib:.0f} GiB"),
            ("GPU", self.gpu or "none"),
            ("system", self.system),
            ("Python", self.python),
            ("packages", ", ".join(f"{name} {number}" for name, number in self.packages.items())),
        ]


def machine() -> Machine:
    """Describe the machine that this runs on."""
    return Machine(
        cpu=cpu_name(),
        cores=_cores(),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        gpu=_gpu(),
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        packages={name: number for name in PACKAGES if (number := _version(name))},
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gpu() -> str | None:
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    found = torch.cuda.get_device_properties(0)
    return f"{found.name}, {found.total_memory / 2**30:.0f} GiB"
