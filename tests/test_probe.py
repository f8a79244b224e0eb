import hashlib

import numpy as np
import pytest

from retq_hub.digest import bytes_digest
from retq_hub.errors import IntegrityError
from retq_hub.manifest import Fingerprint
from retq_hub.probe import METHOD, TOLERANCE, deviation, fingerprint, probe_image

PROBES = {
    1: "ce464fa5d5ee89a3cde0114ca21792097c4afbb56c40a7f696890377e144d75f",
    64: "1c27375e230d79f4335ac1498fb30e7ece290b0414ebfc9391a37efe308d1c0c",
    392: "bdf357c09c3cd337ed75e090621424cace58f08ab1ddd3b03da166f0662ad0fe",
}


def layers(*, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(5, 3)).astype(np.float32) for _ in range(2)]


def naive_sign(axis: str, k: int, index: int, count: int) -> int:
    bit = k * count + index
    stream = hashlib.shake_256(f"{METHOD}/{axis}".encode()).digest(bit // 8 + 1)
    return 1 if stream[bit // 8] >> bit % 8 & 1 else -1


@pytest.mark.parametrize("size", PROBES)
def test_the_probe_is_drawn_to_the_byte(size: int):
    image = probe_image(size)
    assert (image.shape, image.dtype) == ((size, size, 3), np.uint8)
    assert bytes_digest(image.tobytes()) == PROBES[size]


def test_a_fingerprint_is_the_signed_sum_of_all_tokens():
    given = layers()
    total = np.zeros(64)
    for k in range(64):
        for layer in range(2):
            for n in range(5):
                for d in range(3):
                    sign = naive_sign("layer", k, layer, 2) * naive_sign("token", k, n, 5)
                    total[k] += sign * naive_sign("width", k, d, 3) * given[layer][n, d]
    found = fingerprint(given)
    assert found.method == METHOD
    np.testing.assert_allclose(found.values, total / np.sqrt(30), atol=1e-6)


def test_other_weights_deviate_and_rounding_does_not():
    one, other = fingerprint(layers()), fingerprint(layers(seed=1))
    rounded = fingerprint([layer.astype(np.float16).astype(np.float32) for layer in layers()])
    assert deviation(one, one) == 0
    assert deviation(one, rounded) < TOLERANCE < 0.5 < deviation(one, other)


def test_a_deviation_is_relative_to_the_first():
    one = Fingerprint(method=METHOD, values=(3.0, 4.0))
    other = Fingerprint(method=METHOD, values=(3.0, 3.0))
    assert deviation(one, other) == pytest.approx(0.2)
    assert deviation(Fingerprint(method=METHOD, values=(0.0, 0.0)), one) > 1


def test_fingerprints_of_different_methods_do_not_compare():
    with pytest.raises(IntegrityError) as caught:
        deviation(fingerprint(layers()), Fingerprint(method="other", values=(0.0,) * 64))
    assert METHOD in str(caught.value)
