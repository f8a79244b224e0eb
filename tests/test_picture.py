"""A picture is small, always the same, and says what it was drawn from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support_core import manifest, write_small

from retq_hub.manifest import FileDigest, QueryManifest
from retq_hub.picture import (
    PICTURE,
    Picture,
    about,
    encode,
    picture_findings,
    read_picture,
    subject,
)

NOISE = np.random.default_rng(0).integers(0, 256, (768, 768, 3), dtype=np.uint8)
FLAT = Image.new("RGB", (64, 48), (180, 90, 40))


def made(**changes: object) -> QueryManifest:
    files = {"query.safetensors": FileDigest(sha256="a" * 64, size=1)}
    return manifest(**{"files": files, **changes})


def jpeg(image: Image.Image = FLAT) -> bytes:
    return encode(image, drawn_from="f" * 64, example=True, area=0.25)


def test_it_says_what_it_was_told() -> None:
    assert about(jpeg()) == Picture(subject="f" * 64, example=True, area=0.25)
    assert jpeg() == jpeg()


@pytest.mark.parametrize("image", [Image.fromarray(NOISE), FLAT], ids=["noise", "flat"])
def test_it_is_a_small_jpeg_of_any_photograph(image: Image.Image, tmp_path: Path) -> None:
    blob = jpeg(image)
    assert len(blob) <= 80_000
    (tmp_path / PICTURE).write_bytes(blob)
    with Image.open(tmp_path / PICTURE) as opened:
        assert opened.format == "JPEG"
        assert max(opened.size) <= 768


def test_the_subject_changes_with_what_is_marked_and_with_nothing_else() -> None:
    whole = made()
    assert subject(replace(whole, metrics=(), summary="x", limits="y")) == subject(whole)
    others = [
        made(files={"query.safetensors": FileDigest(sha256="b" * 64, size=1)}),
        made(head=replace(whole.head, thresholds=(0.75,))),
        made(basis=replace(whole.basis, norm=False)),
        made(backbone=replace(whole.backbone, weights_digest="0" * 64)),
    ]
    assert len({subject(one) for one in (whole, *others)}) == 5


def commented(comment: bytes) -> bytes:
    return jpeg().replace(b'"retq-overlay/1"', b'"x"', 1) if not comment else (
        b"\xff\xd8\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + b"\xff\xd9"
    )  # fmt: skip


@pytest.mark.parametrize(
    "blob",
    [
        b"", b"GIF89a", jpeg()[:10], b"\xff\xd8\xff\xfe\x00\x00", b"\xff\xd8\xff\xfe\xff\xff{}",
        commented(b""), commented(b"[]"), commented(b"[" * 60_000), commented(b"\xff\xfe"),
        commented(b'{"spec":"retq-overlay/1","subject":1,"example":true,"area":0.5}'),
        commented(b'{"spec":"retq-overlay/1","subject":"x","example":true,"area":1e9}'),
        commented(b'{"spec":"retq-overlay/1","subject":"x","example":true,"area":NaN}'),
    ],
    ids=range(12),
)  # fmt: skip
def test_one_that_retq_did_not_draw_says_nothing(blob: bytes) -> None:
    assert about(blob) == Picture()


def test_a_large_picture_or_another_format_is_none(tmp_path: Path) -> None:
    write_small(tmp_path / "q")
    path = tmp_path / "q" / PICTURE
    assert (picture_findings(path.parent), read_picture(path.parent)) == ([], None)
    for blob, words in ((b"\x89PNG", "is no JPEG"), (jpeg() + bytes(2**20), "larger than 1 MiB")):
        path.write_bytes(blob)
        (finding,) = picture_findings(path.parent)
        assert words in str(finding)
        assert read_picture(path.parent) is None
    path.write_bytes(jpeg())
    assert read_picture(path.parent) == jpeg()
