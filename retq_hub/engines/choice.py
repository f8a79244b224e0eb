"""Which engines there are, which of them this machine has, and how one is built.

PyTorch is imported only where an engine is looked for on its devices, or built.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retq_hub.engines import hardware
from retq_hub.errors import UsageError

if TYPE_CHECKING:
    from retq_hub.engines.engine import Engine
    from retq_hub.engines.graph import Graphs

__all__ = [
    "AUTO",
    "ENGINES",
    "PLAIN",
    "PRECISIONS",
    "Choice",
    "Offer",
    "build",
    "candidates",
    "offers",
]

AUTO = "auto"
ENGINES = (AUTO, "torch", "openvino", "onnx")
PRECISIONS = (AUTO, "float32", "bfloat16", "float16", "int8")

_PACKAGES = {"torch": "torch", "openvino": "openvino", "onnx": "onnxruntime"}


@dataclass(frozen=True, kw_only=True, order=True)
class Choice:
    """An engine at a precision on a device."""

    engine: str
    precision: str
    device: str = "cpu"

    def __str__(self) -> str:
        on = "" if self.device == "cpu" else f" on {self.device}"
        return f"{self.engine} {self.precision}{on}"


PLAIN = Choice(engine="torch", precision="float32")
"""What all others are measured against, and what runs where nothing is asked for."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """An engine as `retq doctor` tells of it.

    Attributes:
        engine: Its name.
        package: What runs it.
        version: The package's; None: it is not installed.
        precisions: What it computes in on this machine's CPU.
    """

    engine: str
    package: str
    version: str | None
    precisions: tuple[str, ...]


def offers() -> list[Offer]:
    """Tell of all engines, installed or not; GPUs are not looked for."""
    return [
        Offer(
            engine=engine,
            package=package,
            version=hardware.package(package),
            precisions=tuple(_on_the_cpu(engine)),
        )
        for engine, package in _PACKAGES.items()
    ]


def candidates(engine: str, precision: str) -> list[Choice]:
    """Give what may serve a wish on this machine, at least one.

    `PLAIN` is taken by its word: the CPU, so that results are the same everywhere.

    Args:
        engine: One of `ENGINES`.
        precision: One of `PRECISIONS`.

    Raises:
        UsageError: There is no such engine or precision, or not here.
    """
    for what, given, known in (("engine", engine, ENGINES), ("precision", precision, PRECISIONS)):
        if given not in known:
            raise UsageError(f"there is no {what} {given!r}", hint=f"one of {', '.join(known)}")
    if engine != AUTO and hardware.package(_PACKAGES[engine]) is None:
        raise UsageError(
            f"the engine {engine} is not installed", hint=f'pip install "retq-hub[{engine}]"'
        )
    if (engine, precision) == (PLAIN.engine, PLAIN.precision):
        return [PLAIN]
    here = [one for one in _PACKAGES if hardware.package(_PACKAGES[one]) is not None]
    engines = here if engine == AUTO else [engine]
    found = [one for name in engines for one in _known(name) if precision in (AUTO, one.precision)]
    if not found:
        raise _lacking(engine, precision)
    return found


def build(choice: Choice, graphs: "Graphs") -> "Engine":
    """Build an engine.

    Args:
        choice: Which.
        graphs: Of the backbone that it shall run.

    Raises:
        UsageError: Its package is not installed.
    """
    if choice.engine == "openvino":
        from retq_hub.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(graphs, precision=choice.precision)
    if choice.engine == "onnx":
        from retq_hub.engines.onnx import OnnxEngine

        return OnnxEngine(graphs)
    from retq_hub.engines.eager import TorchEngine

    return TorchEngine(graphs.encoder(), device=choice.device, precision=choice.precision)


def _known(engine: str) -> Iterator[Choice]:
    for precision in _on_the_cpu(engine):
        yield Choice(engine=engine, precision=precision)
    if engine == "torch":
        for device in hardware.gpus():
            for precision in hardware.gpu_precisions(device):
                yield Choice(engine=engine, precision=precision, device=device)


def _on_the_cpu(engine: str) -> Iterator[str]:
    yield "float32"
    if engine != "onnx" and hardware.cpu_has_bfloat16():
        yield "bfloat16"


def _lacking(engine: str, precision: str) -> UsageError:
    """Say why a precision is not to be had."""
    if engine == "onnx":
        why = f"the engine onnx computes in float32, not in {precision}"
    elif precision == "float16":
        why = "float16 needs the engine torch and a GPU, and PyTorch finds none here"
    elif precision == "bfloat16":
        why = f"this machine does not compute in bfloat16 ({hardware.cpu_name()})"
    else:
        why = "int8 is not offered: in 8 bits queries mark other pixels (lesions: Dice 0.94)"
    return UsageError(why, hint="take --precision auto, or float32")
