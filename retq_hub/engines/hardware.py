"""What this machine's processors can do, and a name for the machine. PyTorch only where asked."""

import platform
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["cpu_has_bfloat16", "cpu_name", "gpu_precisions", "gpus", "machine", "package"]

_BFLOAT16 = {"amx_bf16", "avx512_bf16", "bf16"}
_PACKAGES = ("torch", "timm", "openvino", "onnxruntime", "numpy")


def package(name: str) -> str | None:
    """Give the version of an installed package; None if it is not there."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def cpu_name() -> str:
    """Give the name of the CPU as the operating system has it."""
    found = re.search(r"^model name\s*:\s*(.+)$", _cpuinfo(), re.MULTILINE)
    return found.group(1) if found else platform.processor() or platform.machine()


@cache
def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies in bfloat16, as far as the operating system says."""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", _cpuinfo(), re.MULTILINE)
    return bool(found and _BFLOAT16 & set(found.group(1).split()))


def gpus() -> list[str]:
    """Name the devices beside the CPU that PyTorch can use: ``cuda:0``, ``mps``; imports it."""
    import torch

    if torch.cuda.is_available():
        return ["cuda:0"]
    return ["mps"] if torch.backends.mps.is_available() else []


def gpu_precisions(device: str) -> list[str]:
    """Give what one of `gpus` computes in."""
    import torch

    halves = ["float16", "bfloat16"]
    if device.startswith("cuda") and not torch.cuda.is_bf16_supported(including_emulation=False):
        halves.remove("bfloat16")
    return ["float32", *halves]


def machine() -> dict[str, object]:
    """Give all that decides how fast which engine is here: processors, threads, packages."""
    import torch

    named = [torch.cuda.get_device_name(one) if "cuda" in one else one for one in gpus()]
    return {
        "cpu": cpu_name(),
        "bfloat16": cpu_has_bfloat16(),
        "threads": torch.get_num_threads(),
        "gpus": named,
        "packages": {name: package(name) for name in _PACKAGES},
    }


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
