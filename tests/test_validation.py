import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from retq_hub import artifact
from retq_hub.basis import Basis, Pass
from retq_hub.digest import bytes_digest
from retq_hub.errors import NotFoundError
from retq_hub.validation import validate


@pytest.fixture
def query(
    tmp_path: Path, cache: Path, registry_folder: Path, make_query: Callable[..., Path]
) -> Path:
    return make_query(tmp_path / "query")


def rewrite(folder: Path, name: str, **changes: np.ndarray) -> None:
    """Change tensors and make the manifest name the new file, as a forger would."""
    tensors = load_file(folder / name) | changes
    blob = save(tensors)
    (folder / name).write_bytes(blob)
    manifest = json.loads((folder / artifact.MANIFEST).read_text())
    manifest["files"][name] = {"sha256": bytes_digest(blob), "size": len(blob)}
    (folder / artifact.MANIFEST).write_text(json.dumps(manifest))


def test_an_untouched_artifact_is_intact_and_reproduces(query: Path) -> None:
    assert validate(query).reproduces is None
    verdict = validate(query, replay=True)
    assert (verdict.ok, verdict.intact, verdict.reproduces) == (True, True, True)


def test_another_vector_under_a_matching_digest_fails_the_golden_test(query: Path) -> None:
    vector = load_file(query / artifact.QUERY)["query"]
    rewrite(query, artifact.QUERY, query=vector + 1)
    verdict = validate(query, replay=True)
    assert not verdict.intact
    assert "a logit deviates by" in verdict.findings[0].what


def test_golden_tokens_of_another_backbone_are_intact_but_do_not_reproduce(query: Path) -> None:
    golden = load_file(query / artifact.GOLDEN)
    rewrite(query, artifact.GOLDEN, tokens=golden["tokens"] * 0, logits=golden["logits"] * 0)
    bias = load_file(query / artifact.QUERY)["bias"]
    logits = np.broadcast_to(bias[:, None, None], golden["logits"].shape)
    rewrite(query, artifact.GOLDEN, logits=np.ascontiguousarray(logits))
    assert validate(query).intact
    verdict = validate(query, replay=True)
    assert verdict.intact
    assert verdict.reproduces is False


def test_all_findings_come_at_once(query: Path) -> None:
    (query / artifact.CARD).unlink()
    (query / artifact.GOLDEN).write_bytes(b"x")
    manifest = json.loads((query / artifact.MANIFEST).read_text())
    manifest["head"]["thresholds"] = [0.5, 0.5]
    (query / artifact.MANIFEST).write_text(json.dumps(manifest))
    places = " ".join(map(str, validate(query).findings))
    for place in ("README.md", "golden.safetensors", "head/thresholds"):
        assert place in places


def test_a_backbone_that_no_registry_knows_is_worth_a_note(
    query: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RETQ_REGISTRY")
    verdict = validate(query)
    assert verdict.ok
    assert "no backbone named 'tiny-vit'" in verdict.notes[0]


def test_a_folder_without_a_manifest_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"has no retq\.json"):
        validate(tmp_path)


@pytest.mark.parametrize(
    "basis",
    [
        Basis(passes=(Pass(size_px=64, tiles=3, layers=(1,), overlap_px=16),), norm=True),
        Basis(
            passes=(Pass(size_px=64, tiles=1, layers=(1,)),), norm=True, views=("plain", "turned")
        ),
        Basis(
            passes=(
                Pass(size_px=32, tiles=2, layers=(0,)),
                Pass(size_px=64, tiles=1, layers=(2, 1)),
            ),
            norm=False,
            pixels="retq-pixels-1",
        ),
    ],
    ids=["tiles", "views", "pixels"],
)
def test_every_kind_of_basis_reproduces(
    basis: Basis,
    tmp_path: Path,
    cache: Path,
    registry_folder: Path,
    make_query: Callable[..., Path],
) -> None:
    folder = make_query(tmp_path / "query", basis=basis, targets=2)
    verdict = validate(folder, replay=True)
    assert verdict.ok and verdict.reproduces, verdict.findings
