"""What several tests need: a small artifact with exact numbers, synthetic images, clear errors."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file, save

from retq_hub import artifact
from retq_hub.artifact import Golden
from retq_hub.basis import Basis, Pass
from retq_hub.digest import bytes_digest
from retq_hub.errors import RetqError
from retq_hub.manifest import (
    BackboneRef,
    Concept,
    DataUse,
    Fingerprint,
    Head,
    Interval,
    Licence,
    Measured,
    QueryManifest,
    Target,
    Training,
)
from retq_hub.metrics import METRICS

WIDTH, GRID = 4, 3
"""D of one layer and g of the small artifact, which reads two layers."""

CC0 = Licence(id="CC0-1.0", name="Creative Commons Zero", commercial_use=True)


def manifest(*, targets: int = 1, **changes: Any) -> QueryManifest:
    """A valid manifest with every optional member set; ``changes`` replace members."""
    interval = Interval(mean=0.5, min=0.25, max=0.75, ci95=(0.375, 0.625))
    concept = Concept(system="http://snomed.info/sct", code="81016008", display="Optic disc")
    whole = QueryManifest(
        name="small-disc",
        version="1.2.3",
        summary="Marks what a small vector marks.",
        targets=tuple(
            Target(name=f"disc-{n}", label="optic disc", code=concept) for n in range(targets)
        ),
        backbone=BackboneRef(
            id="small-vit",
            weights_digest="a" * 64,
            preprocessing_digest="b" * 64,
            fingerprint=Fingerprint(
                method="retq-fingerprint-1", values=tuple(n / 8 for n in range(64))
            ),
        ),
        basis=Basis(passes=(Pass(size_px=42, tiles=1, layers=(7, 3)),), norm=True),
        head=Head(activation="sigmoid", thresholds=(0.25,) * targets, threshold_choice="given"),
        training=Training(
            recipe="by hand", loss="none", l2=0.5, seed=7, selection="none", versions={"numpy": "2"}
        ),
        data=(
            DataUse(
                id="made-up",
                title="Made up",
                licence=CC0,
                split="train",
                split_digest="c" * 64,
                n_images=2,
                n_positive=(1,) * targets,
                doi="10.1000/182",
                citation="Nobody, Nothing, 2024",
            ),
        ),
        metrics=(
            Measured(
                dataset="made-up",
                split="test",
                split_digest="d" * 64,
                target="disc-0",
                n_images=2,
                size_px=392,
                threshold=0.25,
                values=dict.fromkeys(METRICS, interval),
            ),
        ),
        licence=CC0,
        authors=("Nobody",),
        citation="Nobody, 2024",
        intended_use="Tests.",
        limits="It marks nothing in particular.",
        files={},
    )
    return replace(whole, **changes)


def tensors(*, targets: int = 1) -> tuple[NDArray[np.float32], NDArray[np.float32], Golden]:
    """Vector, bias and golden test in eighths, so that every machine computes the same logits."""
    D, N = 2 * WIDTH, GRID**2
    vector = (np.arange(targets * D, dtype=np.float32).reshape(targets, D) % 5 - 2) / 8
    bias = np.arange(targets, dtype=np.float32) / 4 - 1
    tokens = (np.arange(N * D, dtype=np.float32).reshape(N, D) % 7 - 3) / 8
    positions = np.array([0, 4, 8], dtype=np.int32)
    logits = (tokens @ vector.T + bias).T.reshape(targets, GRID, GRID)
    golden = Golden(positions=positions, tokens=tokens[positions], logits=logits.copy())
    return vector, bias, golden


def write_small(folder: Path, *, targets: int = 1, **changes: Any) -> QueryManifest:
    """Write the small artifact."""
    vector, bias, golden = tensors(targets=targets)
    return artifact.write(
        folder,
        manifest=manifest(targets=targets, **changes),
        vector=vector,
        bias=bias,
        golden=golden,
        card="# small-disc\n",
    )


def edit_manifest(folder: Path, **members: Any) -> None:
    """Overwrite members of ``retq.json``, valid or not."""
    path = folder / artifact.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | members))


def pin(folder: Path, name: str, blob: bytes) -> None:
    """Replace a file of an artifact and make the manifest promise the new bytes."""
    (folder / name).write_bytes(blob)
    files = json.loads((folder / artifact.MANIFEST).read_text())["files"]
    files[name] = {"sha256": bytes_digest(blob), "size": len(blob)}
    edit_manifest(folder, files=files)


def repack(folder: Path, changes: Mapping[str, NDArray[Any] | None]) -> None:
    """Replace, add or (None) remove tensors of an artifact, digests kept right."""
    stored = {name: load_file(folder / name) for name in (artifact.QUERY, artifact.GOLDEN)}
    for name, members in stored.items():
        known = {key: value for key, value in changes.items() if key in members}
        extra = {key: changes[key] for key in changes if key == "extra" and name == artifact.QUERY}
        merged = members | known | extra
        pin(folder, name, save({key: one for key, one in merged.items() if one is not None}))


def fundus(height: int = 48, width: int = 64, *, seed: int = 0) -> NDArray[np.uint8]:
    """A dark frame with a noisy orange disc: (H, W, 3) uint8."""
    y, x = np.mgrid[:height, :width]
    inside = (y - height / 2) ** 2 + (x - width / 2) ** 2 < (0.48 * height) ** 2
    noise = np.random.default_rng(seed).integers(0, 40, (height, width, 1))
    colour = np.array([180, 90, 40]) + noise
    return np.where(inside[..., None], colour, 0).astype(np.uint8)


def blob_mask(height: int = 48, width: int = 64) -> NDArray[np.bool_]:
    """A rectangle off centre, so that a flip or a transposition shows."""
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[5:17, 9:40] = True
    return mask


def write_pair(folder: Path, stem: str, *, seed: int = 0) -> tuple[Path, Path]:
    """Write ``images/<stem>.png`` and ``masks/<stem>.png``."""
    image, mask = folder / "images" / f"{stem}.png", folder / "masks" / f"{stem}.png"
    for path, pixels in ((image, fundus(seed=seed)), (mask, blob_mask())):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return image, mask


def assert_clear(error: RetqError, exit_code: int, *words: str) -> None:
    """One line, with a next step, the right exit code and the words that matter."""
    text = str(error)
    assert len(text.splitlines()) == 1, text
    assert error.hint, f"no next step: {text}"
    assert error.exit_code == exit_code
    for word in words:
        assert word in text, text


def on_a_full_disk(script: str, *arguments: object, limit: int = 4096) -> str:
    """Run a script whose files may not grow beyond ``limit`` bytes; give what it prints."""
    preamble = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "sys.dont_write_bytecode = True\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", preamble + script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
