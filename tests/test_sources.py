"""Where names are looked up: folders and URLs side by side."""

import os

import pytest

from retq_hub import sources
from retq_hub.embedded import REGISTRY


@pytest.mark.parametrize(
    "places",
    [
        [],
        ["/a"],
        ["/a", "b/c"],
        ["https://host/reg"],
        ["/a", "https://host:8443/reg/index.json", "/b"],
        ["http://127.0.0.1:8000", "http://[::1]:80/x", "https://host", "/b"],
    ],
)
@pytest.mark.skipif(os.pathsep != ":", reason="elsewhere nothing else separates places")
def test_places_are_told_apart_although_a_url_holds_the_separator(places, monkeypatch):
    monkeypatch.setenv("RETQ_REGISTRY", "::".join(places) + ":")
    assert sources.registries() == [*places, str(REGISTRY)]
    assert [sources.is_url(one) for one in places] == [one.startswith("http") for one in places]
    assert len(sources.folders()) == 1 + sum(not one.startswith("http") for one in places)
