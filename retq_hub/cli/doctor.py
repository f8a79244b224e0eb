"""``retq doctor``: is everything here that retq needs?"""

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import click

from retq_hub import __version__, index, registry, sources
from retq_hub.engines.choice import Offer, offers
from retq_hub.errors import CheckFailed, Finding
from retq_hub.progress import Silent
from retq_hub.stock import opened
from retq_hub.storage import cache_dir

__all__ = ["doctor_command"]

_PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow", "safetensors", "huggingface_hub")
_MISMATCH = "operator torchvision::nms does not exist"


@click.command("doctor")
def doctor_command() -> None:
    """Check the installation, the cache and the registries."""
    click.echo(f"retq-hub {__version__}, Python {platform.python_version()}")
    click.echo(f"{platform.system()} {platform.machine()}")
    click.echo(", ".join(f"{name} {_version(name)}" for name in _PACKAGES))
    click.echo(f"cache {cache_dir()}")
    for place in sources.registries():
        click.echo(f"registry {place}")
    specs = registry.backbone_specs().values()
    here = [spec.id for spec in specs if registry.has_weights(spec)]
    click.echo(f"{len(specs)} backbones, weights here: {', '.join(here) or 'none'}")
    for one in offers():
        click.echo(f"engine {_told(one)}")
    if found := [*_imports(), *_registries()]:
        raise CheckFailed("retq doctor", found)
    click.echo("all is well")


def _told(offer: Offer) -> str:
    if offer.version is None:
        return f'{offer.engine} missing: pip install "retq-hub[{offer.engine}]"'
    return f"{offer.engine} {offer.version}: {', '.join(offer.precisions)}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _imports() -> list[Finding]:
    """Import timm in a process of its own: a torchvision that does not fit torch breaks it."""
    done = subprocess.run(
        [sys.executable, "-c", "import timm"], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return []
    if _MISMATCH in done.stderr:
        what = (
            f"torchvision {_version('torchvision')} was not built for torch {_version('torch')}; "
            "install both anew: pip install --force-reinstall torch torchvision"
        )
    else:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        what = f"cannot be imported: {lines[-1]}"
    return [Finding(where="timm", what=what)]


def _registries() -> list[Finding]:
    """Check the folders, and whether what lies at URLs can be used."""
    found = [one for folder in sources.folders() for one in index.findings(folder)]
    stock = opened(progress=Silent()) if not found else None
    return [*found, *(Finding(where="", what=one) for one in (stock.failures if stock else ()))]
