"""Searching registries and the Hub at once: what is found where, and a Hub that does not answer."""

import time

from lockers import NOWHERE, Listener, publish

from retq_hub import discovery, registry
from retq_hub.wish import Wish


def found(*words, target=None, limit=None):
    listener = Listener()
    spec = discovery.at_hand(registry.backbone_spec(registry.DEFAULT_BACKBONE))
    hits = discovery.search(Wish(words=words, target=target), spec, limit=limit, progress=listener)
    return hits, listener.notes


def test_what_is_on_the_hub_follows_what_the_registries_have(login, mine, new_repo):
    publish(mine(), new_repo)
    hits, notes = found(new_repo)
    assert [(one.name, one.registry, one.fits) for one in hits] == [(new_repo, None, False)]
    assert notes == []
    assert [one.name for one in found("tiny", limit=1)[0]] == ["tiny-disc"]


def test_a_hub_that_is_away_costs_two_seconds_and_is_named(login, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    began = time.monotonic()
    hits, notes = found(target="disc")
    assert time.monotonic() - began < 2.5
    assert "idrid-disc" in [one.name for one in hits]
    assert len(notes) == 1
    assert f"{NOWHERE} did not deliver the list of queries" in notes[0]
