"""Queries: loaded and verified, applied, written back byte by byte."""

from pathlib import Path

import numpy as np
import pytest
import torch
from kinds import make_text, texted
from problems import brought
from support_core import assert_clear

from retq_hub import artifact
from retq_hub.basis import Basis, Pass
from retq_hub.errors import DigestMismatch, NotFoundError, UsageError
from retq_hub.query import Query


@pytest.fixture
def folder(tmp_path: Path, make_query) -> Path:
    return make_query(tmp_path / "disc", targets=2)


def test_a_folder_is_loaded_by_path_or_by_name(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    manifests = [Query.from_pretrained(name).manifest for name in (folder, str(folder), "./disc")]
    assert manifests == [artifact.read_manifest(folder)] * 3


def test_a_registrys_query_is_loaded_by_its_name(registry_folder):
    assert Query.from_pretrained("tiny-disc").manifest.version == "1.9.0"
    assert Query.from_pretrained("tiny-disc@1.0.0").manifest.version == "1.0.0"


def test_it_gives_the_dot_product_of_each_token(folder):
    query = Query.from_pretrained(folder)
    tokens = torch.randn(3, 9, 32, generator=torch.Generator().manual_seed(0))
    logits = query(tokens)
    assert (logits.shape, logits.dtype) == ((3, 2, 3, 3), torch.float32)
    expected = np.empty((3, 2, 3, 3), dtype=np.float32)
    for image, target, place in np.ndindex(3, 2, 9):
        product = tokens[image, place] @ query.vector[target] + query.bias[target]
        expected[image, target, place // 3, place % 3] = product
    np.testing.assert_allclose(logits.numpy(), expected, atol=1e-5)


def test_blocks_of_several_passes_give_logits_on_the_finest_grid(make_query, tmp_path):
    passes = (
        Pass(size_px=64, tiles=2, layers=(1,)),
        Pass(size_px=64, tiles=1, layers=(0, 2)),
    )
    basis = Basis(passes=passes, norm=True, pixels="retq-pixels-1")
    query = Query.from_pretrained(make_query(tmp_path / "wide", basis=basis))
    generator = torch.Generator().manual_seed(0)
    fine = torch.randn(1, 64, 32, generator=generator)
    coarse = torch.randn(1, 16, 64, generator=generator)
    pixels = torch.randn(1, 256, 20, generator=generator)
    tokens = torch.cat([brought(fine, 16), brought(coarse, 16), pixels], dim=2)
    expected = (tokens @ query.vector.T + query.bias).view(1, 1, 16, 16)
    torch.testing.assert_close(query(fine, coarse, pixels), expected, atol=1e-4, rtol=1e-4)


def test_tokens_alone_give_no_map_of_texts(tmp_path):
    backbone = texted()
    query = Query.from_pretrained(make_text(tmp_path / "text", backbone=backbone))
    with pytest.raises(UsageError) as caught:
        query(torch.zeros(1, 4, backbone.spec.tokens.width))
    assert_clear(caught.value, 2, "tiny-text is of kind text")


def test_half_precision_tokens_are_multiplied_in_float32(folder):
    query = Query.from_pretrained(folder)
    tokens = torch.randn(1, 4, 32, generator=torch.Generator().manual_seed(0)).half()
    assert torch.equal(query(tokens), query(tokens.float()))


def test_saving_writes_the_same_bytes(folder, tmp_path):
    (folder / artifact.PICTURE).write_bytes(b"\xff\xd8\xff\xd9")
    query = Query.from_pretrained(folder)
    copy = query.save(tmp_path / "copy")
    for name in ("MANIFEST", "QUERY", "GOLDEN", "CARD", "PICTURE"):
        name = getattr(artifact, name)
        assert (copy / name).read_bytes() == (folder / name).read_bytes()
    assert artifact.read_manifest(copy).digest == query.manifest.digest


def test_changing_a_loaded_vector_does_not_change_what_is_saved(folder, tmp_path):
    query = Query.from_pretrained(folder)
    query.vector.zero_()
    copy = query.save(tmp_path / "copy")
    assert artifact.findings(copy) == []
    assert (copy / artifact.QUERY).read_bytes() == (folder / artifact.QUERY).read_bytes()


def test_a_query_without_a_card_can_still_be_used(folder):
    (folder / artifact.CARD).unlink()
    assert Query.from_pretrained(folder).vector.shape == (2, 32)


def test_a_changed_vector_is_refused(folder):
    path = folder / artifact.QUERY
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(DigestMismatch, match=r"query\.safetensors has digest"):
        Query.from_pretrained(folder)


def test_a_folder_without_a_query_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match=r"is no artifact: it has no retq\.json"):
        Query.from_pretrained(tmp_path)


def test_it_says_what_it_is(folder):
    assert repr(Query.from_pretrained(folder)) == "<Query tiny-disc 1.0.0 for tiny-vit>"
