import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scans
from PIL import Image
from tiny import SPEC, Tiny, random_state, write_spec

from retq_hub.backbone import Backbone
from retq_hub.errors import ImageError
from retq_hub.pipeline import Pipeline
from retq_hub.query import Query
from retq_hub.registry import backbone_spec
from retq_hub.volumes import modality
from retq_hub.volumes.extent import Extent, profile_of
from retq_hub.volumes.opening import open_volume
from retq_hub.volumes.volume import Spacing


@pytest.fixture
def pipeline(tmp_path: Path, tiny: Tiny, make_query: Callable[..., Path]) -> Pipeline:
    one = Query.from_pretrained(make_query(tmp_path / "one"))
    two = Query.from_pretrained(make_query(tmp_path / "two", targets=2, seed=3))
    return Pipeline(backbone=tiny.backbone, queries={"one": one, "two": two})


def test_each_slice_is_as_if_it_were_an_image(pipeline: Pipeline, tmp_path: Path) -> None:
    grey = scans.phantom()
    scan = pipeline.volume(scans.save_tiff(tmp_path / "scan.tif", grey))
    assert list(scan) == ["one", "two"]
    for number, result in enumerate(scan.slices()):
        alone = pipeline(Image.fromarray(grey[number]))
        np.testing.assert_array_equal(result["one"].logits, alone["one"].logits)
        np.testing.assert_array_equal(scan["two"].mask[number], alone["two"].mask)
        np.testing.assert_array_equal(scan["two"].probability[number], alone["two"].probability)
    assert scan["one"].mask.shape == scans.SHAPE
    assert scan["two"].mask.shape == (5, 2, 48, 64)
    with pytest.raises(KeyError):
        scan["three"]


def test_nothing_is_read_before_it_is_asked_for(pipeline: Pipeline, tmp_path: Path) -> None:
    path = scans.save_tiff(tmp_path / "scan.tif", scans.phantom())
    path.write_bytes(path.read_bytes()[:-20])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = pipeline.volume(path).slices()
        assert [next(results)["one"].size for _ in range(4)] == [(64, 48)] * 4
        with pytest.raises(ImageError, match="slice 4"):
            next(results)


def test_the_extent_is_of_any_target_at_the_slices_own_size(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    scan = pipeline.volume(scans.save_tiff(tmp_path / "scan.tif", scans.phantom()))
    marked = scan["two"].mask.any(axis=1)
    extent = scan["two"].extent
    np.testing.assert_allclose(extent.areas, marked.mean(axis=(1, 2)))
    np.testing.assert_array_equal(extent.en_face, marked.any(axis=1))
    assert extent.share == pytest.approx(marked.mean())
    assert extent.volume_mm3 is extent.en_face_mm2 is None


def test_an_extent_in_mm() -> None:
    masks = np.zeros((3, 4, 5), bool)
    masks[1, 1:3, 2:4] = True
    masks[2, 0, 0] = True
    profiles = tuple(profile_of(one) for one in masks)
    spacing = Spacing(down_mm=0.5, across_mm=2, between_mm=10)
    extent = Extent(profiles=profiles, height=4, spacing=spacing)
    assert extent.areas.tolist() == [0, 4 / 20, 1 / 20]
    assert extent.n_slices == 2
    assert extent.volume_mm3 == 5 * 0.5 * 2 * 10
    assert extent.en_face_mm2 == 3 * 2 * 10
    flat = replace(extent, spacing=replace(spacing, between_mm=None))
    assert flat.volume_mm3 is flat.en_face_mm2 is None


OCT = ("retfound-mae-nature-oct", "visionfm-oct", "retfiner-r", "retfiner-v", "retfiner-u")


@pytest.mark.parametrize("name", OCT)
def test_grey_slices_become_what_each_oct_backbone_wants(
    name: str, tmp_path: Path, make_query: Callable[..., Path]
) -> None:
    """A tiny network with the preprocessing of each spec; numbers by hand beside ours."""
    wanted = backbone_spec(name)
    document = SPEC["preprocessing"] | {
        "mean": list(wanted.preprocessing.mean),
        "std": list(wanted.preprocessing.std),
    }
    document |= {"grey": True} if wanted.preprocessing.grey else {}
    spec = backbone_spec(str(write_spec(tmp_path, modality="oct", preprocessing=document)))
    backbone = Backbone(spec=spec, state=random_state(spec), weights_digest="0" * 64)
    query = Query.from_pretrained(make_query(tmp_path / "query", backbone=backbone))
    pipeline = Pipeline(backbone=backbone, queries={"q": query})
    grey = scans.phantom((2, 64, 64))
    scan = pipeline.volume(scans.save_tiff(tmp_path / "scan.tif", grey))
    assert scan.notes == ()
    mean, std = (np.array(one)[:, None, None] for one in (document["mean"], document["std"]))
    pixels = (np.stack([grey[0]] * 3) / 255 - mean) / std
    tokens = backbone.batch_tokens(pixels_of(pixels), 1)[0]
    logits = tokens @ query.vector.T + query.bias
    np.testing.assert_allclose(
        scan["q"].slices[0].logits.ravel(), logits.numpy().ravel(), atol=2e-4
    )


def pixels_of(array: np.ndarray) -> object:
    import torch

    return torch.from_numpy(array.astype(np.float32))[None]


def test_what_was_made_for_photographs_is_noted(
    pipeline: Pipeline, tiny: Tiny, tmp_path: Path
) -> None:
    manifest = pipeline.queries["one"].manifest
    idrid = replace(manifest, data=(replace(manifest.data[0], id="idrid-ma"),))
    natural, fundus = tiny.spec, replace(tiny.spec, modality="colour-fundus")
    assert modality.notes(natural, {"one": manifest}) == []
    (note,) = modality.notes(natural, {"one": manifest, "two": idrid})
    assert note.startswith("two was trained on colour photographs (idrid-ma)")
    (note,) = modality.notes(fundus, {"one": manifest, "two": idrid})
    assert note.startswith("tiny-vit was made for colour fundus images")
    backbone = Backbone(spec=fundus, state=tiny.state, weights_digest=tiny.backbone.weights_digest)
    there = Pipeline(backbone=backbone, queries=pipeline.queries)
    frames = np.stack([scans.phantom()] * 3, axis=-1)
    photographs = open_volume(scans.save_dicom(tmp_path / "op.dcm", frames, Modality="OP"))
    assert there.volume(photographs).notes == ()
    assert len(there.volume(scans.save_dicom(tmp_path / "opt.dcm", frames)).notes) == 1
