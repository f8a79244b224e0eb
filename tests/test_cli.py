import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from eyes import draw, make_csv, make_folders
from graders import make_grader
from PIL import Image
from records import hubs, record, write_index
from tiny import Tiny

from retq_hub import artifact, schema
from retq_hub.cli.app import _COMMANDS
from retq_hub.cli.segment import segment_command

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def retq(tmp_path: Path, cache: Path, registry_folder: Path, retq_folder: Path) -> Run:
    """Runs ``retq`` in a process of its own, in an empty folder, 80 columns wide."""
    folder = tmp_path / "here"
    folder.mkdir()

    def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [retq_folder / "retq", *map(str, arguments)],
            cwd=folder,
            env=os.environ | {"COLUMNS": "80", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.strip().splitlines()[-1]


def test_help_names_every_command(retq: Run) -> None:
    text = retq("--help").stdout
    assert max(map(len, text.splitlines())) <= 80
    assert all(f"\n  {name} " in text for name in _COMMANDS)
    assert "not a medical device" in text


def test_help_shows_every_option_of_a_section_once(retq: Run) -> None:
    shown, _, rest = retq("segment", "--help").stdout.partition("Other options:")
    headings = re.findall(r"^(\w.*):$", shown, re.MULTILINE)
    assert headings == ["Queries and images", "Results", "Speed"]
    options = re.findall(r"^  (?:-\w, )?(--[\w-]+)", shown, re.MULTILINE)
    assert len(options) == len(set(options)) == len(segment_command.params) - 1
    assert re.findall(r"--[\w-]+", rest) == ["--help"]


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_every_command_explains_itself_in_80_columns(name: str, retq: Run) -> None:
    text = retq(name, "--help").stdout
    assert text.startswith("Usage: ")
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    "arguments", [("--help",), ("list",), ("info", "tiny-disc"), ("validate", "tiny-disc"),
                  ("pull", "tiny-disc"), ("search", "tiny", "--no-hub"), ("index", "check"),
                  ("card", "--check", "idrid-disc")]
)  # fmt: skip
def test_light_commands_start_without_torch(
    arguments: tuple[str, ...], registry_folder: Path, cache: Path
) -> None:
    code = (
        "import sys; from retq_hub.cli.app import cli; "
        f"cli.main({list(arguments)!r}, standalone_mode=False); "
        "sys.exit('torch' in sys.modules or 'huggingface_hub' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("list",), ("info", "idrid-disc")])
def test_what_is_asked_most_starts_without_numpy_and_the_validator(
    arguments: tuple[str, ...], cache: Path
) -> None:
    code = (
        "import sys; from retq_hub.cli.app import cli; "
        f"cli.main({list(arguments)!r}, standalone_mode=False); "
        "sys.exit('numpy' in sys.modules or 'jsonschema' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_list_shows_the_newest_version_that_is_not_yanked(retq: Run) -> None:
    found = {one["name"]: one["version"] for one in json.loads(retq("list", "--json").stdout)}
    assert found["tiny-disc"] == "1.9.0"
    every = json.loads(retq("list", "--all", "--json").stdout)
    assert [one["version"] for one in every if one["name"] == "tiny-disc"] == [
        "1.0.0", "1.9.0", "1.10.0",
    ]  # fmt: skip
    table = retq("list").stdout
    assert max(map(len, table.splitlines())) <= 80
    assert "tiny-spot" in table


def test_long_names_fit_into_80_columns(retq: Run, registry_folder: Path) -> None:
    name = "university-eye-hospital/diabetic-retinopathy-haemorrhages-and-exudates-fine"
    write_index(registry_folder, [hubs(name), record("x" * 96, "1.0.0-rc.1", yanked="Why.")])
    table = retq("list", "--all").stdout
    assert max(map(len, table.splitlines())) <= 80
    assert "idrid-disc-fine " in table
    assert "0.9581" in table
    assert "(yanked)" in table


def test_search_for_nothing_is_refused_and_filters_suffice(retq: Run) -> None:
    assert "search for what?" in retq("search", code=2).stderr
    found = json.loads(retq("search", "--target", "disc", "--no-hub", "--json").stdout)
    assert {"idrid-disc", "idrid-disc-fine"} <= {one["name"] for one in found}
    assert {one["fits"] for one in found if one["name"].startswith("idrid")} == {True}
    ours = json.loads(retq("list", "--backbone", "tiny-vit", "--json").stdout)
    assert {one["name"] for one in ours} == {"tiny-disc", "tiny-spot"}
    assert "nothing found" in retq("search", "zzzz", "--no-hub").stderr


def test_search_info_and_validate(retq: Run) -> None:
    assert [one["name"] for one in json.loads(retq("search", "TINY", "spot", "--json").stdout)] == [
        "tiny-spot"
    ]
    assert json.loads(retq("search", "nothing-like-it", "--json").stdout) == []
    info = json.loads(retq("info", "tiny-disc@v1.0.0", "--json").stdout)
    assert (info["version"], len(info["digest"])) == ("1.0.0", 64)
    assert "not a medical device" in retq("info", "tiny-disc").stdout
    assert json.loads(retq("validate", "tiny-disc", "--replay", "--json").stdout)["reproduces"]


def test_pull_prints_where_the_copy_lies(retq: Run, tmp_path: Path) -> None:
    place = Path(retq("pull", "tiny-disc").stdout.strip())
    assert artifact.read(place).manifest.version == "1.9.0"
    retq("pull", "tiny-disc", "tiny-spot", "-o", tmp_path / "out")
    assert {one.name for one in (tmp_path / "out").iterdir()} == {"tiny-disc", "tiny-spot"}


def test_train_evaluate_segment_from_a_csv(retq: Run, tmp_path: Path) -> None:
    table = make_csv(tmp_path / "data")
    own = ("--csv", table, "--target", "spot")
    done = retq("train", *own, "--backbone", "tiny-vit", "-o", "spot", "--json")
    trained = json.loads(done.stdout)
    assert trained["name"] == "spot"
    assert trained["head"]["thresholds"] == [0.5]
    assert trained["head"]["calibration"]["method"] == "prior"
    assert [one["basis"] for one in trained["trials"]][:3] == ["1x1:0", "1x1:1", "1x1:2"]
    assert "held-out Dice" in done.stderr
    document = json.loads(retq("evaluate", "./spot", *own, "--record", "--json").stdout)
    assert schema.findings(document, schema.EVALUATION) == []
    said = retq("evaluate", "./spot", *own, "--against", "./spot", "--report", "sent").stdout
    for words in (
        "95 % interval",
        "all pixels: AUROC",
        "lesions: mean",
        "wins/ties/losses",
        "0/3/0",
    ):
        assert words in said
    assert "by Dice: best eye" in said
    sent = tmp_path / "here/sent"
    assert {one.name for one in sent.iterdir()} == {"report.html", "evaluation.json"}
    document = json.loads((sent / "evaluation.json").read_text())
    assert document["against"]["query"] == "spot@1.0.0"
    retq("segment", tmp_path / "data/images", "-q", "./spot", "-q", "tiny-disc", "-o", "out")
    again = retq(
        "segment", tmp_path / "data/images", "-q", "./spot", "-q", "tiny-disc", "-o", "out"
    )
    assert "0 segmented, 8 done before, 0 failed" in again.stdout


def test_the_list_of_backbones_says_how_each_ones_weights_are_had(retq: Run) -> None:
    lines = retq("backbones", "list").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    said = {line.split()[0]: line for line in lines if not line.startswith(" ")}
    assert " here " in said["tiny-vit"] or " obtainable " in said["tiny-vit"]
    assert " gated " in said["retfound-mae-meh"] and "CC-BY-NC-4.0" in said["retfound-mae-meh"]
    assert " by hand " in said["visionfm-oct"]
    assert " obtainable " in said["dinov2-small"] and "Apache-2.0" in said["dinov2-small"]
    listed = json.loads(retq("backbones", "list", "--json").stdout)
    assert {one["weights"] for one in listed} <= {"here", "obtainable", "gated", "by hand"}
    facts = retq("backbones", "info", "retfound-mae-meh").stdout
    assert "to accept" in facts and "an account" in facts


ONE = ("../data/images/eye0.png", "-q", "tiny-disc", "-o", "out")
SPOTS = ("--csv", "../data/eyes.csv", "--target", "spot", "--backbone", "tiny-vit", "-o", "q")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("info", "tiny-disk"), 3, "did you mean tiny-disc"),
        (("info", "tiny-disc@9.9.9"), 3, "it has 1.0.0, 1.9.0, 1.10.0"),
        (("pull", "tiny-disc/../../etc"), 2, "no name of a query"),
        (("pull", "someone/query"), 5, "HF_HUB_OFFLINE"),
        (("pull", "./nowhere"), 3, "no folder"),
        (("info", "TINY"), 2, "no name of a query"),
        (("backbones", "info", "retfound-gren"), 3, "did you mean retfound-green"),
        (("backbones", "fetch", "biomedclip"), 2, "--sha256"),
        (("backbones", "fetch", "tiny-vit", "--file", "none.pth"), 3, "no file"),
        (("train", "--target", "disc", "-o", "q"), 2, "name the data in one way"),
        (("train", "--dataset", "idrid", "--target", "disc", "-o", "q"), 2, "needs --data"),
        (("train", "--dataset", "drive", "--data", ".", "--target", "x", "-o", "q"), 2, "hvdropdb"),
        (("train", "--dataset", "idrid", "--data", ".", "--target", "cup", "-o", "q"), 2, "disc"),
        (("train", "--dataset", "idrid", "--data", ".", "--target", "disc", "-o", "q"), 6, "IDRiD"),
        (("train", *SPOTS, "--basis", "2x3:1"), 2, "'2x3:1' is no pass"),
        (("train", *SPOTS, "--views", "plain,sideways"), 2, "name plain, and some of mirrored"),
        (("train", *SPOTS, "--loss", "dice", "--positive-weight", "2"), 2, "leave it out"),
        (("train-labels", "-o", "q"), 2, "name the labels in one way"),
        (("train-labels", "--labels", "none.csv", "--column", "grade", "-o", "q"), 2, "--scale"),
        (("train-labels", "-o", "q", "--version", "new"), 2, "is no version"),
        (("segment", "nothing.png", "-q", "tiny-disc", "-o", "out"), 3, "there is no image"),
        (("segment", "--nonsense"), 2, "No such option"),
        (("segment", *ONE, "--areas", "--probability", "npy"), 2, "--areas writes no maps"),
        (("segment", "../data/images", *ONE[1:], "--areas", "--volume"), 2, "for photographs"),
    ],
)
def test_mistakes_get_one_line_and_their_exit_code(
    arguments: tuple[str, ...], code: int, words: str, retq: Run, tmp_path: Path
) -> None:
    if any(one.startswith("../data/") for one in arguments):
        make_csv(tmp_path / "data", 3, n_test=1)
    done = retq(*arguments, code=code)
    assert words in last_line(done)
    if code != 2 or "option" not in words:
        assert len(done.stderr.strip().splitlines()) == 1 or "Usage" in done.stderr


def test_a_single_bad_image_gets_code_6_and_one_among_good_ones_1(
    retq: Run, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_text("this is no image")
    draw(0)[0].save(tmp_path / "good.png")
    done = retq("segment", tmp_path / "bad.png", "-q", "tiny-disc", "-o", "out", code=6)
    assert "is no PNG, JPEG, TIFF or BMP image" in last_line(done)
    done = retq(
        "segment", tmp_path / "bad.png", tmp_path / "good.png", "-q", "tiny-disc", "-o", "o", code=1
    )
    assert "1 segmented, 0 done before, 1 failed" in done.stdout


def test_photographs_are_decoded_at_a_fraction_on_request(retq: Run, tmp_path: Path) -> None:
    draw(0)[0].resize((960, 768)).save(tmp_path / "eye.jpg")
    command = ("segment", tmp_path / "eye.jpg", "-q", "tiny-disc", "-o", "out", "--no-overlay")
    done = retq(*command, "--decoding", "scaled", "--json")
    assert "made with full decoding" in done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert (row["width"], row["height"]) == (960, 768)
    (again,) = json.loads(retq(*command, "--json").stdout)["rows"]
    assert again["preprocessing_digest"] != row["preprocessing_digest"]


def test_a_query_for_another_backbone_is_refused_with_both_digests(
    retq: Run, tmp_path: Path, registry_folder: Path
) -> None:
    source = registry_folder / "queries/tiny-disc/1.0.0"
    manifest = json.loads((source / artifact.MANIFEST).read_text())
    mine = tmp_path / "mine"
    retq("pull", "tiny-disc@1.0.0", "-o", tmp_path)
    (tmp_path / "tiny-disc").rename(mine)
    ours = manifest["backbone"]["weights_digest"]
    manifest["backbone"]["weights_digest"] = "f" * 64
    manifest["backbone"]["fingerprint"]["values"] = [1.0] * 64
    (mine / artifact.MANIFEST).write_text(json.dumps(manifest))
    draw(0)[0].save(tmp_path / "eye.png")
    command = ("segment", tmp_path / "eye.png", "-q", mine, "-o", "out")
    line = last_line(retq(*command, code=4))
    assert ours in line and "f" * 64 in line and "--allow-mismatch" in line
    retq(*command, "--allow-mismatch")


def test_a_broken_manifest_lists_all_findings(retq: Run, tmp_path: Path) -> None:
    retq("pull", "tiny-disc", "-o", tmp_path)
    path = tmp_path / "tiny-disc" / artifact.MANIFEST
    manifest = json.loads(path.read_text())
    del manifest["summary"]
    manifest["head"]["thresholds"] = [2]
    manifest["version"] = "one"
    path.write_text(json.dumps(manifest))
    line = last_line(retq("info", tmp_path / "tiny-disc", code=6))
    assert "3 findings" in line
    assert all(word in line for word in ("summary", "thresholds", "'one'"))
    assert "no" in retq("validate", tmp_path / "tiny-disc", code=1).stdout


def test_a_full_disk_gets_code_7_and_leaves_nothing(retq: Run, tmp_path: Path) -> None:
    draw(0)[0].resize((900, 900)).save(tmp_path / "eye.png")
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400)); "
        "sys.argv[0] = 'retq'; from retq_hub.cli import main; main()"
    )
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", code, "segment", tmp_path / "eye.png", "-q", "tiny-disc", "-o", out],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 7, done.stderr
    assert "cannot write" in last_line(done) and "free some space" in last_line(done)
    assert not [path for path in out.rglob("*") if path.is_file()]


def test_index_check_finds_drift(retq: Run, registry_folder: Path) -> None:
    assert "in step" in retq("index", "check", registry_folder).stdout
    index = json.loads((registry_folder / "index.json").read_text())
    index["records"][0]["summary"] = "another"
    (registry_folder / "index.json").write_text(json.dumps(index))
    assert "differs between index and folder" in last_line(
        retq("index", "check", registry_folder, code=1)
    )
    retq("index", "build", registry_folder)
    retq("index", "check", registry_folder)


def test_debug_shows_the_traceback(tmp_path: Path, cache: Path) -> None:
    command = [sys.executable, "-m", "retq_hub.cli", "--debug", "info", "nothing"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "Traceback" in done.stderr and "NotFoundError" in done.stderr


def test_own_images_by_folders(retq: Run, tmp_path: Path) -> None:
    images, masks = make_folders(tmp_path / "data", 6)
    done = retq(
        "train", "--images", images, "--masks", masks, "--target", "bright spot",
        "--backbone", "tiny-vit", "--basis", "0,2", "--l2", "0.001", "-o", "spot",
    )  # fmt: skip
    assert done.stdout.strip() == "spot"
    (masks / "eye3_spot.png").unlink()
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(masks / "stranger.png")
    line = last_line(
        retq("train", "--images", images, "--masks", masks, "--target", "x", "-o", "q", code=6)
    )
    assert "images without a mask (eye3)" in line and "masks without an image (stranger" in line


def test_train_labels_evaluate_segment_from_a_csv(retq: Run, tmp_path: Path) -> None:
    make_folders(tmp_path / "data", 8)
    rows = [f"images/eye{number}.png,{number % 2},{number // 4}" for number in range(8)]
    table = tmp_path / "data/eyes.csv"
    table.write_text("\n".join(["image,grade,side", *rows]) + "\n")
    labels = ("--labels", table, "--split", "all", "--scale", "ordinal", "--column", "grade")
    done = retq(
        "train-labels", *labels, "-o", "Grade", "--weigh-by", "tiny-disc", "--basis", "1",
        "--basis", "2", "--max-layers", "1", "--l2", "0.1", "--balanced", "--seed", "4", "--json",
    )  # fmt: skip
    trained = json.loads(done.stdout)
    assert trained["name"] == "grade"
    assert trained["head"] == {
        "activation": "ordinal", "threshold_choice": "the median grade", "thresholds": [],
    }  # fmt: skip
    assert len(trained["trials"]) == 5
    manifest = artifact.read_manifest(tmp_path / "here/Grade")
    assert (manifest.training.seed, manifest.derived[0].name) == (4, "tiny-disc")
    assert "counting the same" in manifest.training.loss
    assert json.loads(retq("validate", "./Grade", "--replay", "--json").stdout)["reproduces"]


def test_train_takes_every_option(retq: Run, tmp_path: Path) -> None:
    table = make_csv(tmp_path / "data", 6, n_test=0)
    done = retq(
        "train", "--csv", table, "--target", "spot", "--backbone", "tiny-vit", "-o", "spot",
        "--basis", "2x2/16:1 + 1x1:2", "--basis", "2", "--l2", "0.01", "--sharpen",
        "--views", "plain, mirrored", "--positive-weight", "3", "--measure", "iou",
        "--calibration", "isotonic", "--seed", "4", "--json",
    )  # fmt: skip
    trained = json.loads(done.stdout)
    assert {one["basis"].partition(" (")[0] for one in trained["trials"]} == {
        "2x2/16:1 + 1x1:2", "1x1:2",
    }  # fmt: skip
    assert trained["head"]["calibration"]["method"] == "isotonic"
    manifest = artifact.read_manifest(tmp_path / "here/spot")
    assert (manifest.training.measure, manifest.training.seed) == ("iou", 4)
    assert manifest.training.views == ("plain", "mirrored")
    assert "positives x 3" in manifest.training.loss
    assert json.loads(retq("validate", "./spot", "--replay", "--json").stdout)["reproduces"]
    assert "not a medical device" in retq("info", "./spot").stdout


def test_kinds_are_listed_apart_and_looked_for(
    retq: Run, registry_folder: Path, tiny: Tiny
) -> None:
    make_grader(registry_folder / "queries/tiny-grade/1.0.0", backbone=tiny.backbone)
    retq("index", "build", registry_folder)
    table = retq("list").stdout
    assert max(map(len, table.splitlines())) <= 80
    assert re.search(r"classification:\nname +version +tells +fits +AUROC +kappa", table)
    assert re.search(r"tiny-grade +1\.0\.0 .+ 0\.8750 +0\.6250", table)
    found = json.loads(retq("list", "--kind", "classification", "--json").stdout)
    assert {one["kind"] for one in found} == {"classification"}
    assert {one["name"] for one in found} == {"idrid-dme-risk", "idrid-dr-grade", "tiny-grade"}
    others = json.loads(retq("search", "--kind", "segmentation", "--no-hub", "--json").stdout)
    assert {one["kind"] for one in others} == {"segmentation"}
    facts = retq("info", "tiny-grade").stdout
    assert "kind           classification" in facts
    assert "tells          no retinopathy, mild" in facts
    assert "quadratic kappa 0.6250, AUROC 0.8750" in facts
    assert "upsampling" not in facts
