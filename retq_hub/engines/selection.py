"""Which engine runs a backbone: the fastest that a trial finds and whose drift is tolerable.

What was measured is kept in the cache: for this machine and its packages, the backbone, the passes
and the queries. So an engine is tried and checked once, not in every run.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from retq_hub.digest import json_digest
from retq_hub.engines import drift, hardware, trial
from retq_hub.engines.choice import PLAIN, Choice, build, candidates
from retq_hub.engines.drift import Drift, Masks
from retq_hub.engines.engine import Engine
from retq_hub.engines.graph import Graphs
from retq_hub.errors import EngineDrift, RetqError
from retq_hub.plans import Plan
from retq_hub.progress import Progress
from retq_hub.schema import read_json
from retq_hub.storage import cache_dir, write_json

__all__ = ["Candidacy", "Selected", "select"]

_FORMAT = "retq-trial-1"


@dataclass(frozen=True, kw_only=True)
class Candidacy:
    """What engines are chosen for.

    Attributes:
        graphs: Of the backbone.
        weights_digest: Of the backbone.
        reference: Gives float32 PyTorch with the backbone's weights.
        passes: What is run of each image.
        masks: Makes the masks that are compared; None: there are none to be made.
        masks_of: Digests of all that these masks depend on.
    """

    graphs: Graphs
    weights_digest: str
    reference: Callable[[], Engine]
    passes: Plan
    masks: Masks | None = None
    masks_of: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Selected:
    """An engine that was chosen.

    Attributes:
        engine: The engine.
        note: What the user should know of the choice, in a line.
    """

    engine: Engine
    note: str


@dataclass(frozen=True, kw_only=True)
class _Record:
    """What is known of a choice on this machine."""

    ms: float | None = None
    drift: Drift | None = None


def select(what: Candidacy, engine: str, precision: str, *, progress: Progress) -> Selected:
    """Choose an engine.

    Args:
        what: What it is chosen for.
        engine: ``auto`` or an engine's name.
        precision: ``auto`` or a precision.
        progress: Where to say that engines are tried.

    Raises:
        UsageError: There is no such engine or precision, or not on this machine.
        EngineDrift: None of those that are asked for is near enough to float32 PyTorch.
        StorageError: The cache cannot be written.
    """
    choices = candidates(engine, precision)
    if choices == [PLAIN]:
        return Selected(engine=what.reference(), note="")
    return _Election(what, progress).winner(choices)


class _Election:
    """Candidates that are tried, checked, and taken or refused."""

    def __init__(self, what: Candidacy, progress: Progress) -> None:
        self._what, self._progress = what, progress
        self._path = cache_dir() / "engines" / f"{_key(what)[:32]}.json"
        self._records = _read(self._path)
        self._engines: dict[Choice, Engine] = {}

    def winner(self, choices: list[Choice]) -> Selected:
        refused: list[EngineDrift] = []
        for choice in self._ranked(choices):
            try:
                drift.check(self._drift(choice), str(choice))
            except EngineDrift as error:
                refused.append(error)
                continue
            return Selected(engine=self._engine(choice), note=self._told(choice))
        raise refused[0]

    def _ranked(self, choices: list[Choice]) -> list[Choice]:
        """Sort choices by the time they take, if there are several."""
        if len(choices) == 1:
            return choices
        if any(self._known(one).ms is None for one in choices):
            names = ", ".join(map(str, choices))
            self._progress.note(f"trying {names}: once on this machine, some seconds")
            engines = {one: self._engine(one) for one in choices}
            times = trial.measure(engines, self._what.graphs.spec, self._what.passes)
            for one, ms in times.items():
                self._keep(one, replace(self._known(one), ms=round(ms, 1)))
        return sorted(choices, key=lambda one: (self._known(one).ms, one))

    def _drift(self, choice: Choice) -> Drift:
        known = self._known(choice).drift
        if known is not None:
            return known
        if choice == PLAIN:
            return Drift(fingerprint=0.0, tokens=0.0)
        self._progress.note(f"checking {choice} against float32 PyTorch: once on this machine")
        what = self._what
        found = drift.measure(
            self._engine(choice), what.reference(), what.graphs.spec, masks=what.masks
        )
        self._keep(choice, replace(self._known(choice), drift=found))
        return found

    def _engine(self, choice: Choice) -> Engine:
        if choice not in self._engines:
            plain = choice == PLAIN
            self._engines[choice] = (
                self._what.reference() if plain else build(choice, self._what.graphs)
            )
        return self._engines[choice]

    def _told(self, choice: Choice) -> str:
        ms = self._known(choice).ms
        took = "" if ms is None else f", {ms:.0f} ms an image"
        beside = self._known(PLAIN).ms
        took += f" ({PLAIN} {beside:.0f})" if took and beside and choice != PLAIN else ""
        return f"{choice}{took}" + ("" if choice == PLAIN else f"; {self._drift(choice)}")

    def _known(self, choice: Choice) -> _Record:
        return self._records.get(choice, _Record())

    def _keep(self, choice: Choice, record: _Record) -> None:
        self._records[choice] = record
        rows = [asdict(one) | asdict(known) for one, known in sorted(self._records.items())]
        write_json(self._path, {"spec": _FORMAT, "engines": rows})


def _key(what: Candidacy) -> str:
    spec = what.graphs.spec
    passes = [[asdict(key), list(layers)] for key, layers in what.passes.items()]
    backbone = [what.weights_digest, spec.preprocessing_digest, spec.pooling]
    return json_digest([_FORMAT, hardware.machine(), backbone, passes, list(what.masks_of)])


def _read(path: Path) -> dict[Choice, _Record]:
    """Read what was measured before; nothing where the file is not there or of another kind."""
    try:
        return dict(map(_row, read_json(path)["engines"]))
    except (RetqError, KeyError, TypeError, msgspec.ValidationError):
        return {}


def _row(row: Mapping[str, Any]) -> tuple[Choice, _Record]:
    return msgspec.convert(row, Choice), msgspec.convert(row, _Record)
