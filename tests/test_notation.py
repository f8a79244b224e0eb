import pytest
from hypothesis import given
from hypothesis import strategies as st
from support_core import assert_clear

from retq_hub.basis import Basis, Pass
from retq_hub.channels import METHOD
from retq_hub.errors import UsageError
from retq_hub.notation import parse, written

PASSES = st.builds(
    Pass,
    size_px=st.integers(1, 9999),
    tiles=st.integers(1, 99),
    layers=st.lists(st.integers(0, 999), unique=True, min_size=1, max_size=6).map(tuple),
    overlap_px=st.none() | st.integers(1, 9999),
)
BASES = st.lists(
    PASSES, min_size=1, max_size=4, unique_by=lambda one: (one.size_px, one.tiles, one.overlap_px)
).map(lambda passes: Basis(passes=tuple(passes), norm=True))


@given(BASES, st.integers(1, 9999))
def test_what_is_written_is_read_again(basis: Basis, size_px: int):
    assert parse(written(basis, size_px=size_px), size_px=size_px) == basis


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("7", [Pass(size_px=392, tiles=1, layers=(7,))]),
        ("7,3", [Pass(size_px=392, tiles=1, layers=(7, 3))]),
        ("2x2:7", [Pass(size_px=392, tiles=2, layers=(7,))]),
        ("3x3@196/28:7,3", [Pass(size_px=196, tiles=3, layers=(7, 3), overlap_px=28)]),
        ("1x1/0:7", [Pass(size_px=392, tiles=1, layers=(7,))]),
        (
            " 2x2:7 + 1x1 : 3, 7 ",
            [Pass(size_px=392, tiles=2, layers=(7,)), Pass(size_px=392, tiles=1, layers=(3, 7))],
        ),
    ],
)
def test_bases_are_read_as_people_write_them(text: str, passes: list[Pass]):
    assert parse(text, size_px=392) == Basis(passes=tuple(passes), norm=True)


def test_views_and_pixels_are_written_last():
    basis = parse("2x2:7", size_px=392, views=("plain", "mirrored"))
    assert basis.views == ("plain", "mirrored")
    assert written(basis, size_px=392) == "2x2:7 (plain, mirrored)"
    with_pixels = Basis(passes=basis.passes, norm=True, pixels="retq-pixels-1")
    assert written(with_pixels, size_px=392) == "2x2:7 + pixels"
    assert written(with_pixels, size_px=14) == "2x2@392:7 + pixels"


@pytest.mark.parametrize(
    "text",
    [
        "", "+", "7+", "2x2", "2x2:", "x:7", "2x3:7", "0x0:7", "2x2@:7", "2x2/:7", "2x2@0:7", "-1",
        "7,", ",7", "2x2:7.5", "2x2:7;3", "100x100:7", "2x2@10000:7", "2x2:1000", "\n7;rm",
        "pixels", "2x2:7\u00b2",
    ],
)  # fmt: skip
def test_what_is_no_basis_is_refused_in_one_line(text: str):
    with pytest.raises(UsageError) as caught:
        parse(text, size_px=392)
    assert_clear(caught.value, 2, "is no pass", "such as 2x2:7")


def test_a_layer_named_twice_is_refused():
    with pytest.raises(UsageError) as caught:
        parse("1x1:3 + 2x2:7,3,7", size_px=392)
    assert_clear(caught.value, 2, "'2x2:7,3,7' names a layer twice", "once")


@given(st.text("0123456789x@/:,+ -a\n", max_size=30))
def test_any_text_is_read_or_refused(text: str):
    try:
        basis = parse(text, size_px=392)
    except UsageError as error:
        assert error.hint
        return
    assert parse(written(basis, size_px=392), size_px=392) == basis


def test_pixel_channels_come_last():
    basis = parse("2x2:7 + 1x1:3 + pixels", size_px=392)
    assert basis.pixels == METHOD
    assert written(basis, size_px=392) == "2x2:7 + 1x1:3 + pixels"
    with pytest.raises(UsageError, match="'pixels' is no pass"):
        parse("pixels", size_px=392)
