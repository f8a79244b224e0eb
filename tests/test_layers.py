"""Imports point down only: a module may import from the lines above its own, and nothing else."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import retq_hub

PACKAGE = Path(retq_hub.__file__).parent

LINES: list[set[str]] = [
    {
        "archives",
        "assessment",
        "assessment.gradation",
        "basis",
        "boundary",
        "contour",
        "deflate",
        "digest",
        "embedded",
        "engines",
        "engines.engine",
        "engines.hardware",
        "errors",
        "frontmatter",
        "grids",
        "hub",
        "labels",
        "labels.fewshot",
        "labels.lbfgs",
        "labels.likelihood",
        "legend",
        "lesions",
        "levels",
        "lines",
        "losses",
        "markdown",
        "pooling",
        "pools",
        "pools.threads",
        "progress",
        "resampling",
        "retq_hub",
        "runs",
        "smoothing",
        "store",
        "summary",
        "text",
        "texts",
        "threads",
        "views",
        "volumes",
    },
    {
        "archives.failures",
        "batches",
        "channels",
        "crossings",
        "decoding",
        "descent",
        "fit",
        "hub.session",
        "kinds",
        "labels.recipe",
        "maskpng",
        "names",
        "pools.cluster",
        "schedule",
        "schema",
        "statefile",
        "storage",
        "tiling",
        "volumes.depth",
        "web",
    },
    {
        "curve",
        "guided",
        "hub.client",
        "journal",
        "labels.linear",
        "manifest",
        "newton",
        "places",
        "pools.workers",
        "record",
        "tensorfile",
        "volumes.stackfile",
        "volumes.volume",
    },
    {
        "arrays",
        "chart",
        "crossval",
        "difference",
        "headline",
        "heads",
        "hub.reading",
        "hub.writing",
        "inspection",
        "labels.jointfit",
        "markup",
        "metrics",
        "notation",
        "notices",
        "picture",
        "pools.order",
        "probe",
        "savepoint",
        "similarity",
        "solution",
        "soundness",
        "sources",
        "spec",
        "tasks",
        "volumes.dicom",
        "volumes.extent",
    },
    {
        "calibration",
        "checkpoint",
        "comparison",
        "compatibility",
        "geometry",
        "hub.snapshots",
        "images",
        "keymap",
        "manifestfile",
        "marking",
        "metadata",
        "onnx_dinov2",
        "pixels",
        "plans",
        "recipe",
        "store.contents",
        "texts.tokenizer",
        "texts.wording",
        "trunk",
        "volumes.modality",
    },
    {
        "artifact",
        "augment",
        "dataset",
        "encoder",
        "engines.drift",
        "figures",
        "handwriting",
        "heatmap",
        "listing",
        "objects",
        "photograph",
        "plots",
        "result",
        "search",
        "store.shard",
        "texts.vocabulary",
        "volumes.stacks",
        "wish",
    },
    {
        "archives.sources",
        "assessment.gradebook",
        "card",
        "catalogue",
        "engines.graph",
        "goldens",
        "grading",
        "labels.columns",
        "labels.labelset",
        "lock",
        "lookalike",
        "paper",
        "preparation",
        "published",
        "repository",
        "store.writer",
        "tables",
        "texts.encoder",
        "volumes.opening",
        "volumes.slices",
    },
    {
        "assessment.gradetables",
        "assessment.matching",
        "assessment.tally",
        "datasets",
        "dossier",
        "engines.eager",
        "engines.onnx",
        "engines.openvino",
        "engines.trial",
        "index",
        "labels.published",
        "labels.shots",
        "lockcard",
        "mapping",
        "overlay",
        "page",
        "remote",
        "site",
        "store.store",
        "volumes.tally",
    },
    {
        "collection",
        "contribution",
        "engines.choice",
        "grades",
        "labels.sets",
        "stock",
        "volumes.montage",
        "volumes.table",
    },
    {"engines.selection", "registry", "report"},
    {"assessment.gradesheet", "cardfile", "pinning", "provenance", "weightfile"},
    {"discovery", "scorecard", "weights"},
    {"backbone", "syncing"},
    {"composition", "features", "outputs"},
    {"assembly", "exact", "labels.candidate", "store.intake", "twins"},
    {"lookup", "parcel"},
    {"publication"},
    {"query"},
    {"layout", "roster"},
    {"application"},
    {"evaluation", "pipeline", "store.pipeline"},
    {
        "archives.ledger",
        "assessment.pointing",
        "assessment.scoring",
        "labels.trainingset",
        "onnx_model",
        "portrait",
        "predictions",
        "replay",
        "segment",
        "trainingset",
    },
    {
        "agreement",
        "archives.filing",
        "archives.work",
        "demo",
        "labels.search",
        "presentation",
        "replication",
        "store.answers",
        "validation",
        "volumes.run",
    },
    {"archives.parts", "delivery", "labels.jointsearch"},
    {
        "archives.run",
        "labels.adaptation",
        "labels.solution",
        "lineage",
        "texts.compilation",
        "training",
    },
    {"algebra", "labels.training", "porting"},
    {"gallery", "gallery.prose", "gallery.upload"},
    {"gallery.shelf"},
    {"gallery.address"},
    {"gallery.pages"},
    {"gallery.browse", "gallery.pictures", "gallery.placard"},
    {"gallery.layers"},
    {"gallery.bench"},
    {"gallery.trial"},
    {"gallery.routes"},
    {"server", "server.clock", "server.faults", "server.routes"},
    {
        "server.blobs",
        "server.cards",
        "server.database",
        "server.limits",
        "server.trees",
        "server.uploads",
    },
    {"server.commits", "server.diffs", "server.holdings", "server.naming"},
    {"server.accounts", "server.blame", "server.payloads"},
    {"server.descriptions", "server.repos"},
    {"server.admission", "server.discussions", "server.documents", "server.listing", "server.refs"},
    {"server.edits"},
    {"server.checks"},
    {"server.catalogue", "server.rows"},
    {"server.publication"},
    {"server.services"},
    {"server.calls"},
    {"server.endpoints"},
    {"server.routes.files", "server.routes.repositories", "server.routes.users"},
    {
        "server.routes.gates",
        "server.routes.large",
        "server.routes.publishing",
        "server.routes.revisions",
        "server.routes.talk",
    },
    {"server.app"},
    {"server.service"},
    {"server.shelf"},
    {"cli.sections"},
    {"cli.areas_options", "cli.console"},
    {"cli.app"},
    {"cli", "cli.__main__"},
    {"cli.stored_options"},
    {"cli.index", "cli.options"},
    {"cli.doctor"},
    {"cli.search"},
    {"cli.backbones"},
    {"cli.lock"},
    {"cli.info", "cli.registry"},
    {"cli.publish"},
    {"cli.running_options"},
    {"cli.assessment", "cli.embed", "cli.export", "cli.volumes"},
    {"cli.card", "cli.evaluate", "cli.validate"},
    {"cli.adapt", "cli.archive_options", "cli.compile_text", "cli.serve", "cli.train"},
    {"cli.algebra", "cli.port", "cli.segment", "cli.train_labels"},
    {"cli.demo"},
]
"""The package itself holds the version and names that are loaded on first use."""


def name_of(path: Path) -> str:
    """Name a module without the package: ``registry``, ``cli.app``, ``cli``, ``retq_hub``."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "retq_hub"


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(path: Path) -> Iterator[str]:
    """Give all that a module imports, at its top or in its functions, with the package's name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path: Path) -> set[str]:
    """Give the modules of the package that a module imports."""
    found = set()
    for full in imported(path):
        if full == "retq_hub" or full.startswith("retq_hub."):
            name = full.removeprefix("retq_hub").removeprefix(".")
            while name not in MODULES:
                name = name.rpartition(".")[0] or "retq_hub"
            found.add(name)
    return found


GRAPH = {name: ours(path) for name, path in MODULES.items()}
GRAPH["retq_hub"] = set()


def test_every_module_stands_once_in_the_table_of_the_documents():
    named = list(_documented())
    assert [one for one in named if named.count(one) > 1] == []
    rooms = {"cli", "gallery", "hub", "server"}
    wanted = {one for line in LINES for one in line if one.partition(".")[0] not in rooms}
    packages = {one.partition(".")[0] for one in wanted if "." in one} | {"retq_hub"}
    assert wanted - packages - set(named) == set()


def _documented() -> Iterator[str]:
    """Give the modules in the tables of docs/architecture.md."""
    page = (PACKAGE.parent / "docs/architecture.md").read_text()
    room, column = "", 1
    for row in re.findall(r"^\|(.*)\|$", page.partition("## Layers")[2], re.MULTILINE):
        cells = [cell.strip() for cell in row.split("|")]
        if cells[0].startswith("modules of "):
            room, column = cells[0].removeprefix("modules of ").rstrip("/") + ".", 0
        elif not cells[0].startswith("---"):
            yield from (room + name for name in cells[column].split(", "))


def test_every_module_stands_in_exactly_one_line():
    listed = sorted(name for line in LINES for name in line)
    assert listed == sorted(MODULES)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_imports_only_from_the_lines_above_its_own(name):
    above: set[str] = set()
    for line in LINES:
        if name in line:
            break
        above |= line
    assert GRAPH[name] - above == set()


def test_there_are_no_cycles():
    remaining = {name: set(needs) for name, needs in GRAPH.items()}
    while free := {name for name, needs in remaining.items() if not needs & remaining.keys()}:
        remaining = {name: needs for name, needs in remaining.items() if name not in free}
    assert remaining == {}


def test_the_package_itself_imports_nothing_of_its_own_when_it_is_imported():
    loaded = "import sys, retq_hub; print([name for name in sys.modules if 'retq_hub.' in name])"
    assert run(loaded) == "[]"


@pytest.mark.parametrize(
    "module",
    ["", ".registry", ".artifact", ".schema", ".remote", ".composition", ".cli.app", ".server.app"],
)
def test_it_starts_without_torch(module):
    script = f"import sys, retq_hub{module}; print('torch' in sys.modules)"
    assert run(script) == "False"


def test_only_hub_imports_the_hubs_client():
    users = {
        name
        for name, path in MODULES.items()
        if any(one.split(".")[0] == "huggingface_hub" for one in imported(path))
    }
    assert users == {"hub.client", "hub.reading", "hub.session", "hub.writing"}


def run(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()
