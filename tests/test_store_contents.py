"""What a store holds: written, read back, refused where it is something else."""

import json
from pathlib import Path

import pytest
from stores import RICH_NEEDS
from support_core import assert_clear
from tiny import Tiny

from retq_hub.errors import ManifestError, NotFoundError, UsageError
from retq_hub.preparation import Needs
from retq_hub.store.contents import CONTENTS, Contents, read_contents, write_contents
from retq_hub.store.intake import holding
from retq_hub.tiling import PassKey


@pytest.fixture
def rich(tiny: Tiny) -> Contents:
    return holding(tiny.backbone, RICH_NEEDS)


def test_it_is_read_as_it_was_written(rich: Contents, tmp_path: Path) -> None:
    write_contents(tmp_path, rich)
    assert read_contents(tmp_path) == rich
    assert read_contents(tmp_path).plan == RICH_NEEDS.plan


def test_tensors_are_named_by_what_they_are(rich: Contents) -> None:
    shapes = {name: row.shape for name, row in rich.tensors.items()}
    assert shapes == {
        "embedding": (32,),
        "tokens 1x1@64:2": (16, 32),
        "tokens 1x1@64:2 mirrored": (16, 32),
        "tokens 2x2@64/16:0": (49, 32),
        "tokens 2x2@64/16:1": (49, 32),
        "tokens 2x2@64/16:0 mirrored": (49, 32),
        "tokens 2x2@64/16:1 mirrored": (49, 32),
        "channels": (196 * 196, 20),
        "guide 48": (48, 48),
    }
    tokens = 2 * 32 * (2 * 16 + 4 * 49)
    assert rich.bytes_per_image == 4 * 32 + tokens + 2 * 196 * 196 * 20 + 48 * 48


def test_a_vit_small_takes_784_x_384_x_2_bytes_a_layer(tiny: Tiny) -> None:
    key = PassKey(28 * 16, 1, norm=True)
    one = holding(tiny.backbone, Needs(plan={key: (1,)})).bytes_per_image
    two = holding(tiny.backbone, Needs(plan={key: (1, 2)})).bytes_per_image
    assert two - one == 784 * 32 * 2


def test_what_is_missing_is_named(rich: Contents) -> None:
    other = PassKey(64, 1, norm=False)
    assert rich.missing(RICH_NEEDS.plan, channels=True, guides=(48,)) == []
    assert rich.missing({other: (2,)}, channels=True, guides=(48, 96)) == [
        "tokens 1x1@64:2 without norm",
        "guide 96",
    ]


def test_a_size_that_does_not_fit_the_patches_is_refused(tiny: Tiny) -> None:
    with pytest.raises(UsageError, match="no multiple of the backbone's patch"):
        holding(tiny.backbone, Needs(plan={PassKey(70, 1, norm=True): (1,)}))


def test_a_folder_without_one_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        read_contents(tmp_path)
    assert_clear(caught.value, 3, "is no store", CONTENTS)


@pytest.mark.parametrize(
    "change", [{"spec": "retq-store/2"}, {"passes": 3}, {"backbone": {}}, {"engine": None}]
)
def test_another_document_is_refused(
    change: dict[str, object], rich: Contents, tmp_path: Path
) -> None:
    write_contents(tmp_path, rich)
    path = tmp_path / CONTENTS
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ManifestError, match=CONTENTS):
        read_contents(tmp_path)
