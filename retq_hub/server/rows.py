"""The catalogue's rows: made of a verdict, in the transaction of the commit that it is about."""

import json
import sqlite3
from typing import Any

from retq_hub.headline import headline
from retq_hub.manifest import QueryManifest
from retq_hub.server import checks
from retq_hub.server.checks import Verdict
from retq_hub.tasks import kind_of

__all__ = ["update"]


def update(connection: sqlite3.Connection, repo_key: int, verdict: Verdict | None) -> None:
    """Make a repository's row anew, in the transaction of the commit to ``main``."""
    connection.execute("DELETE FROM queries WHERE repo=?", (repo_key,))
    if verdict is None:
        return
    name = connection.execute("SELECT name FROM repos WHERE id=?", (repo_key,)).fetchone()[0]
    row, facets = _row(verdict, name)
    marks = ", ".join("?" * (len(row) + 1))
    connection.execute(f"INSERT INTO queries VALUES ({marks})", (repo_key, *row))
    connection.executemany(
        "INSERT OR IGNORE INTO facets VALUES (?, ?, ?)",
        ((facet, value, repo_key) for facet, value in facets),
    )


def _row(verdict: Verdict, name: str) -> tuple[list[Any], list[tuple[str, str]]]:
    """Give the columns of a row but the first, and its facets."""
    findings = checks.encode(verdict.findings)
    manifest = verdict.manifest
    if manifest is None:
        nothing = [name, "", "", "[]", "", "", "[]", "", None, None, 0]
        return [*nothing, findings, name.lower()], []
    targets = [target.label for target in manifest.targets]
    datasets = [data.title for data in manifest.data]
    figures = headline(manifest)
    means = [figures.dice, figures.auroc]
    row = [manifest.name, manifest.version, manifest.summary, json.dumps(targets)]
    row += [manifest.backbone.id, manifest.backbone.weights_digest, json.dumps(datasets)]
    facets = [("target", one) for one in targets]
    facets += [("backbone", manifest.backbone.id), ("licence", manifest.licence.id)]
    facets += [("dataset", one) for one in datasets]
    facets.append(("kind", kind_of(manifest)))
    words = _words(manifest, name)
    return [*row, manifest.licence.id, *means, verdict.floats, findings, words], facets


def _words(manifest: QueryManifest, name: str) -> str:
    parts = [name, manifest.name, manifest.summary, manifest.backbone.id]
    parts += [f"{one.name} {one.label}" for one in manifest.targets]
    parts += [f"{one.id} {one.title}" for one in manifest.data]
    return " ".join(parts).lower()
