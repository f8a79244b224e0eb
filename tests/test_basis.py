from retq_hub.basis import Basis, Pass, span
from retq_hub.channels import METHOD

WHOLE = Pass(size_px=28, tiles=1, layers=(3, 1))
TILES = Pass(size_px=28, tiles=2, layers=(1,), overlap_px=14)


def test_places_are_in_the_order_of_the_tokens() -> None:
    basis = Basis(passes=(TILES, WHOLE), norm=True)
    assert [layer for _, layer in basis.places] == [1, 3, 1] == list(basis.layers)
    assert len(set(basis.places)) == 3


def test_a_union_has_each_layer_of_each_pass_once() -> None:
    one = Basis(passes=(WHOLE,), norm=True)
    other = Basis(
        passes=(TILES, Pass(size_px=28, tiles=1, layers=(1, 2))), norm=True, pixels=METHOD
    )
    found = span([one, other])
    assert found == Basis(
        passes=(Pass(size_px=28, tiles=1, layers=(3, 1, 2)), TILES), norm=True, pixels=METHOD
    )
    assert found is not None
    assert set(found.places) == set(one.places) | set(other.places)
    assert span([one, one]) == one


def test_other_views_or_another_norm_have_no_union() -> None:
    one = Basis(passes=(WHOLE,), norm=True)
    assert span([one, Basis(passes=(WHOLE,), norm=False)]) is None
    assert span([one, Basis(passes=(WHOLE,), norm=True, views=("plain", "mirrored"))]) is None
