"""The documents' code blocks run, and what they say of commands is what the commands say."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import scans
import torch
import upstream
from click.testing import CliRunner
from eyes import make_csv, make_folders
from hubs import running_hub

from retq_hub import errors, weights
from retq_hub.cli.app import cli
from retq_hub.encoder import expected_shapes
from retq_hub.keymap import canonical
from retq_hub.manifest import from_json
from retq_hub.spec import BackboneSpec, Step

ROOT = Path(__file__).resolve().parent.parent
DOCS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out as the documents assume, with a `retq` on the path."""
    folder = tmp_path_factory.mktemp("stranger")
    shutil.copytree(ROOT / "examples", folder / "examples")
    make_csv(folder / "my", 8).rename(folder / "my/eyes.csv")
    (folder / "my/masks").rename(folder / "my/all-masks")
    (folder / "my/masks").mkdir()
    for path in (folder / "my/all-masks").iterdir():
        path.rename(folder / "my/masks" / path.name)
    shutil.rmtree(folder / "my/all-masks")
    (folder / "new").mkdir()
    for path in sorted((folder / "my/images").iterdir())[:2]:
        shutil.copy(path, folder / "new")
    scans.save_tiff(folder / "scan.tif", scans.phantom()[1:4])
    return folder


def run(command: list[str], folder: Path, retq: Path, **settings: str) -> None:
    parts = (str(retq), str(Path(sys.executable).parent), os.environ["PATH"])
    path = os.pathsep.join(parts)
    environment = os.environ | {"PATH": path, "RETQ_CACHE": os.environ.get("RETQ_TEST_CACHE", "")}
    if not environment["RETQ_CACHE"]:
        del environment["RETQ_CACHE"]
    environment |= settings
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "docs/tutorial.md"])
def test_shell_blocks_run(name: str, stranger: Path, tmp_path: Path, retq_folder: Path) -> None:
    folder = shutil.copytree(stranger, tmp_path / "stranger")
    for block in blocks(ROOT / name, "sh"):
        lines = [line for line in block.splitlines() if not line.startswith("make ")]
        published = [line for line in lines if "--dataset" in line]
        rest = [line for line in lines if line not in published]
        run(["bash", "-euc", "\n".join(rest)], folder, retq_folder)


@pytest.mark.slow
def test_what_is_said_of_volumes_runs(
    make_registry: Callable[..., Path], tmp_path: Path, retq_folder: Path
) -> None:
    make_registry(tmp_path / "registry", "idrid-lesions@9.0.0")
    scans.save_tiff(tmp_path / "scan.tif", scans.phantom())
    scans.save_folder(tmp_path / "bscans", scans.phantom())
    settings = {
        "RETQ_REGISTRY": str(tmp_path / "registry"),
        "RETQ_CACHE": str(tmp_path / "cache"),
    }
    for block in blocks(ROOT / "docs/oct.md", "sh"):
        run(["bash", "-euc", block], tmp_path, retq_folder, **settings)
    made = {path.name for path in (tmp_path / "out").iterdir()}
    said = (ROOT / "docs/oct.md").read_text()
    for name in ("mask.tif", "slices.csv", "overview.jpg"):
        assert any(one.startswith("bscans") and one.endswith(name) for one in made), name
        assert name in said
    assert {"volumes.csv", "volumes.jsonl"} <= made


@pytest.mark.slow
def test_what_is_said_of_stores_runs(
    make_registry: Callable[..., Path], tmp_path: Path, retq_folder: Path
) -> None:
    make_registry(tmp_path / "registry", "idrid-disc@1.0.0")
    make_folders(tmp_path / "my", 2)[0].rename(tmp_path / "new")
    settings = {
        "RETQ_REGISTRY": str(tmp_path / "registry"),
        "RETQ_CACHE": str(tmp_path / "cache"),
    }
    for block in blocks(ROOT / "docs/embeddings.md", "sh"):
        run(["bash", "-euc", block], tmp_path, retq_folder, **settings)
    made = {path.name for path in (tmp_path / "store").iterdir()} - {".lock"}
    assert made == {"store.json", "shard-000000.safetensors", "shard-000000.jsonl"}
    assert len((tmp_path / "out/summary.jsonl").read_text().splitlines()) == 2


@pytest.mark.slow
def test_what_is_said_of_sharing_runs_on_a_hub(
    make_query: Callable[..., Path],
    registry_template: Path,
    tmp_path: Path,
    retq_folder: Path,
) -> None:
    make_query(tmp_path / "drusen", name="drusen")
    with running_hub(tmp_path, users=("me",)) as hub:
        settings = {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_OFFLINE": "0",
            "HF_TOKEN": hub.tokens["me"],
            "RETQ_REGISTRY": str(registry_template),
        }
        for block in blocks(ROOT / "docs/sharing.md", "sh"):
            run(["bash", "-euc", block], tmp_path, retq_folder, **settings)
    assert (tmp_path / "queries/drusen/retq.json").is_file()


@pytest.mark.slow
def test_what_is_said_of_locks_runs_on_a_hub(
    make_query: Callable[..., Path],
    make_registry: Callable[..., Path],
    tmp_path: Path,
    retq_folder: Path,
) -> None:
    make_query(tmp_path / "drusen", name="drusen")
    make_registry(tmp_path / "registry", "idrid-disc@9.0.0")
    make_folders(tmp_path / "my", 1)[0].rename(tmp_path / "new")
    with running_hub(tmp_path, users=("me",)) as hub:
        settings = {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_OFFLINE": "0",
            "HF_TOKEN": hub.tokens["me"],
            "RETQ_REGISTRY": str(tmp_path / "registry"),
        }
        run(["retq", "push", "drusen", "--repo", "me/drusen"], tmp_path, retq_folder, **settings)
        settings["RETQ_CACHE"] = str(tmp_path / "cache")
        for block in blocks(ROOT / "docs/locks.md", "sh"):
            run(["bash", "-euc", block], tmp_path, retq_folder, **settings)
    rows = (tmp_path / "out/summary.csv").read_text()
    assert "drusen" in rows
    assert ",9.0.0," in rows


@pytest.mark.slow
def test_python_blocks_run(stranger: Path, retq_folder: Path) -> None:
    for path in DOCS:
        for block in blocks(path, "python"):
            run([sys.executable, "-W", "error", "-c", block], stranger, retq_folder)


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text()
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), target


def test_cli_page_is_what_the_commands_say() -> None:
    page = (ROOT / "docs/cli.md").read_text()
    context = click.Context(cli, info_name="retq")
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert f"## `retq {name}" in page, name
        subcommands = command.commands.values() if isinstance(command, click.Group) else [command]
        for one in subcommands:
            for parameter in one.params:
                for option in (*parameter.opts, *parameter.secondary_opts):
                    assert not option.startswith("--") or f"`{option}" in page, (name, option)


def test_exit_codes_are_documented() -> None:
    page = (ROOT / "docs/cli.md").read_text()
    kinds = [getattr(errors, name) for name in errors.__all__]
    codes = {
        kind.exit_code for kind in kinds if isinstance(kind, type) and hasattr(kind, "exit_code")
    }
    assert all(f"| {code} |" in page for code in codes | {0})


@pytest.fixture
def page(tmp_path: Path) -> tuple[Path, list[dict[str, object]]]:
    """The spec of the page, cut to two blocks and written to a file, and the map below it."""
    document, steps = (
        json.loads(one) for one in blocks(ROOT / "docs/adding-a-backbone.md", "json")
    )
    document["architecture"]["args"]["depth"] = document["tokens"]["layers"] = 2
    document["tokens"]["candidates"] = [1]
    path = tmp_path / "mae-base.json"
    path.write_text(json.dumps(document))
    return path, steps


def test_one_json_file_adds_a_backbone(
    page: tuple[Path, list[dict[str, object]]], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = page
    spec = from_json(json.loads(path.read_text()), BackboneSpec)
    beside = {"mask_token": (1, 1, 512), "decoder_pred.bias": (768,)}
    model = upstream.state(expected_shapes(spec) | beside)
    torch.save({"model": model}, path.parent / "mae_pretrain_vit_base.pth")
    monkeypatch.chdir(path.parent)
    commands = re.findall(
        r"^    retq (backbones .*)$", (ROOT / "docs/adding-a-backbone.md").read_text(), re.MULTILINE
    )
    assert [command.split()[1] for command in commands] == ["info", "fetch", "verify"]
    for command in commands:
        done = CliRunner().invoke(cli, command.split(), catch_exceptions=False)
        assert done.exit_code == 0, done.output
    kept = {name: one for name, one in model.items() if name not in beside}
    assert f"weights digest {weights.digest_of(kept)}" in done.output


def test_the_pages_map_for_other_names_gives_the_same_weights(
    page: tuple[Path, list[dict[str, object]]],
) -> None:
    steps = [from_json(step, Step) for step in page[1]]
    golden = json.loads((ROOT / "tests/golden/dinov2-small.json").read_text())
    ours = upstream.state({k: v for k, v in golden["tensors"].items() if k != "mask_token"})
    theirs = {}
    for name, tensor in ours.items():
        for short, long in OTHER_NAMES.items():
            name = re.sub(short, long, name)
        if ".qkv." in name:
            parts = zip(("query", "key", "value"), tensor.chunk(3), strict=True)
            theirs |= {name.replace("qkv", f"attention.{part}"): one for part, one in parts}
        else:
            theirs[name] = tensor
    assert weights.digest_of(canonical(theirs, steps)) == weights.digest_of(ours)


OTHER_NAMES = {
    r"^blocks\.": "encoder.layer.",
    r"^norm\.": "layernorm.",
    r"^cls_token": "embeddings.cls_token",
    r"^pos_embed": "embeddings.position_embeddings",
    r"^patch_embed\.proj": "embeddings.patch_embeddings.projection",
    r"\.attn\.proj\.": ".attention.output.dense.",
    r"\.attn\.qkv\.": ".attention.qkv.",
    r"\.ls(\d)\.gamma": r".layer_scale\1.lambda1",
}
"""Patterns of timm's names and what the transformers library calls them."""


def test_the_table_of_backbones_is_what_the_script_prints() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks/backbone_table.py"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout in (ROOT / "docs/backbones.md").read_text()
