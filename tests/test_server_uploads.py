"""Signed addresses are good for one file, one repository and some hours."""

from dataclasses import replace

import pytest

from retq_hub.server.faults import Fault
from retq_hub.server.uploads import Signer, Upload

UPLOAD = Upload(sha256="a" * 64, size=7, repo=3)
SIGNER = Signer(b"secret", clock=lambda: 1_000_000.0)


def check(signer: Signer, upload: Upload) -> None:
    query = SIGNER.query(UPLOAD)
    signer.check(upload, expires=query["expires"], signature=query["signature"])


def test_an_address_is_good_until_it_expires():
    check(SIGNER, UPLOAD)
    check(Signer(b"secret", clock=lambda: 1_000_000.0 + 6 * 3600), UPLOAD)
    with pytest.raises(Fault, match="has expired"):
        check(Signer(b"secret", clock=lambda: 1_000_001.0 + 6 * 3600), UPLOAD)


@pytest.mark.parametrize("change", [{"sha256": "b" * 64}, {"size": 8}, {"repo": 4}])
def test_an_address_is_good_for_nothing_else(change):
    with pytest.raises(Fault, match="not signed by this hub"):
        check(SIGNER, replace(UPLOAD, **change))


def test_another_hub_does_not_take_it():
    with pytest.raises(Fault, match="not signed by this hub"):
        check(Signer(b"another", clock=lambda: 1_000_000.0), UPLOAD)
