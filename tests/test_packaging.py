"""The wheel carries what an installed `retq` needs."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, as pip would lay it out."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(out / "site")
    return out / "site"


def test_registry_schemas_and_example_travel_inside(unpacked: Path) -> None:
    embedded = unpacked / "retq_hub" / "_embedded"
    for folder in ("registry", "schemas"):
        shipped = {path.relative_to(embedded) for path in (embedded / folder).rglob("*.json")}
        assert shipped == {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.json")}
    assert (embedded / "registry/queries/idrid-disc/1.1.0/overlay.jpg").is_file()
    assert (embedded / "examples/retina.jpg").is_file()
    assert (unpacked / "retq_hub/report.css").is_file()
    assert (unpacked / "retq_hub/py.typed").is_file()
    for kind in ("static", "templates"):
        pages = ROOT / "retq_hub" / "gallery" / kind
        shipped = {path.name for path in (unpacked / "retq_hub/gallery" / kind).iterdir()}
        assert shipped == {path.name for path in pages.iterdir()}


def test_an_installed_retq_lists_and_validates_its_own_queries(
    unpacked: Path, tmp_path: Path
) -> None:
    environment = os.environ | {"PYTHONPATH": str(unpacked), "RETQ_CACHE": str(tmp_path)}
    for arguments in (("list",), ("validate", "idrid-disc"), ("index", "check")):
        done = subprocess.run(
            [sys.executable, "-m", "retq_hub.cli", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    code = "import retq_hub; print(retq_hub.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.stdout.startswith(str(unpacked))
