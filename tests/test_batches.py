"""Batches fit the memory: an engine that takes few squares at a time is served, or named."""

from collections.abc import Sequence

import pytest
import torch
from PIL import Image
from tiny import Tiny
from torch import Tensor

from retq_hub.batches import Batches, images_at_once
from retq_hub.engines.engine import Engine
from retq_hub.errors import ImageError
from retq_hub.preparation import Needs, prepare
from retq_hub.tiling import PassKey


class Small:
    """An engine without memory for more than some squares at a time."""

    def __init__(self, engine: Engine, most: int, refusal: type[Exception] = MemoryError) -> None:
        self.name, self.precision, self.device = engine.name, engine.precision, engine.device
        self.seen: list[int] = []
        self._engine, self._most, self._refusal = engine, most, refusal

    def __call__(
        self, squares: Tensor, layers: Sequence[int], *, norm: bool, embed: bool
    ) -> tuple[list[Tensor], Tensor | None]:
        self.seen.append(len(squares))
        if len(squares) > self._most:
            raise self._refusal("DefaultCPUAllocator: can't allocate memory")
        return self._engine(squares, layers, norm=norm, embed=embed)


@pytest.fixture
def squares() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (21, 64, 64, 3), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("most", [1, 3, 16])
@pytest.mark.parametrize("refusal", [MemoryError, RuntimeError, torch.OutOfMemoryError])
def test_what_does_not_fit_is_halved_and_the_result_is_the_same(
    tiny: Tiny, squares: Tensor, most: int, refusal: type[Exception]
) -> None:
    engine = tiny.backbone.reference
    expected, pooled = engine(squares, (0, 2), norm=True, embed=True)
    small, batches = Small(engine, most, refusal), Batches()
    found, embedding = batches.run(small, squares, (0, 2), norm=True, embed=True)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(embedding, pooled)
    refused = [size for size in small.seen if size > most]
    assert refused == [16, 8, 4, 2][: len(refused)]
    del small.seen[:]
    batches.run(small, squares, (0,), norm=True, embed=False)
    assert max(small.seen) <= most, "what did not fit once is not tried again"


def test_one_square_that_does_not_fit_is_an_error_of_the_image(tiny: Tiny, squares: Tensor) -> None:
    with pytest.raises(ImageError, match=r"memory of cpu does not hold .* 64 x 64 pixels"):
        Batches().run(Small(tiny.backbone.reference, 0), squares, (0,), norm=True, embed=False)


def test_other_errors_are_not_taken_for_too_little_memory(tiny: Tiny, squares: Tensor) -> None:
    small = Small(tiny.backbone.reference, 0, KeyError)
    with pytest.raises(KeyError):
        Batches().run(small, squares, (0,), norm=True, embed=False)
    assert small.seen == [16]


def test_a_backbone_halves_over_images_and_tiles(tiny: Tiny) -> None:
    needs = Needs(plan={PassKey(64, 2, norm=True): (1,), PassKey(64, 1, norm=True): (2,)})
    images = [Image.new("RGB", (90, 70), (40 * n, 90, 10)) for n in range(3)]
    ready = [prepare(one, needs, tiny.spec) for one in images]
    small = Small(tiny.backbone.reference, 5)
    found = tiny.backbone.with_engine(small).run(ready, needs)
    assert small.seen == [12, 6, 3, 3, 3, 3, 3]
    for (tokens, _), one in zip(found, images, strict=True):
        alone, _ = tiny.backbone.tokens(one, needs.plan)
        for key, value in alone.items():
            torch.testing.assert_close(tokens[key], value)


@pytest.mark.parametrize(("squares", "expected"), [(0, 64), (1, 64), (14, 4), (100, 1)])
def test_on_a_gpu_several_images_are_run_together(tiny: Tiny, squares: int, expected: int) -> None:
    engine = Small(tiny.backbone.reference, 1)
    assert images_at_once(engine, squares) == 1
    engine.device = "cuda:0"
    assert images_at_once(engine, squares) == expected
