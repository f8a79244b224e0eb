"""Records for tests, and indexes made of them."""

import random
from collections.abc import Sequence
from pathlib import Path

from retq_hub import catalogue
from retq_hub.record import Record

TARGETS = ("optic disc", "hard exudates", "Drusen", "ridge")


def record(name: str = "some-disc", version: str = "1.0.0", **changes: object) -> Record:
    """Give a sound record."""
    members = {
        "digest": "a" * 64,
        "summary": "Marks something.",
        "targets": ("optic disc",),
        "backbone": "tiny-vit",
        "weights_digest": "b" * 64,
        "preprocessing_digest": "c" * 64,
        "floats": 32,
        "datasets": ("A data set",),
        "licence": "CC0-1.0",
        "path": f"queries/{name}/{version}" if "repo" not in changes else None,
    }
    return Record(name=name, version=version, **(members | changes))


def hubs(name: str = "someone/some-disc", version: str = "1.0.0", **changes: object) -> Record:
    """Give a sound record of a repository on a Hub."""
    return record(name, version, **({"repo": name, "commit": "d" * 40} | changes))


def many(count: int) -> list[Record]:
    """Draw records of three versions a name, some yanked, with all kinds of texts."""
    draw = random.Random(1)
    versions = ("1.0.0", "1.1.0", "2.0.0-rc.1")
    notes = ("Öl", "öl", "a/b", "back\\slash")
    return [
        record(
            f"{'abc'[n // 3 % 3]}-{n // 3}",
            versions[n % 3],
            targets=(draw.choice(TARGETS),),
            summary=f'No. {n} of "{draw.choice(notes)}"',
            licence=draw.choice(["CC0-1.0", "CC-BY-4.0"]),
            weights_digest=draw.choice("bc") * 64,
            dice=draw.choice([None, round(draw.random(), 3)]),
            yanked=draw.choice([False, False, "Marks too much."]),
        )
        for n in range(count)
    ]


def write_index(folder: Path, records: Sequence[Record]) -> Path:
    """Write an index and give its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "index.json"
    path.write_bytes(catalogue.lay_out(records))
    return path
