"""``retq evaluate`` in this process: what makes no sense is said before the work."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from eyes import make_csv

from retq_hub import artifact, index
from retq_hub.cli.app import main


@pytest.fixture
def here(
    tmp_path: Path,
    cache: Path,
    registry_folder: Path,
    make_query: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The current folder, with two eyes; the registry has a query ``two`` for spots."""
    make_csv(tmp_path / "here", count=2, n_test=1)
    monkeypatch.chdir(tmp_path / "here")
    folder = make_query(registry_folder / "queries/two/1.0.0", name="two")
    made = artifact.read(folder)
    spot = replace(made.manifest.targets[0], name="spot")
    artifact.write(
        folder,
        manifest=replace(made.manifest, targets=(spot,)),
        vector=made.vector,
        bias=made.bias,
        golden=made.golden,
        card="",
    )
    index.write(registry_folder, index.build(registry_folder))
    return tmp_path / "here"


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--record", "--size", "512"), 2, "--record keeps figures at 392 pixels"),
        (("--size", "8"), 2, "--size"),
        (("--report", "eyes.csv/below"), 7, "cannot write in eyes.csv/below"),
        (("--against", "tiny-disk"), 3, "did you mean tiny-disc"),
        (("--against", "two"), 2, "tiny-disc marks 't0' and two marks 'spot'"),
        (("--split", "nobody"), 6, "no rows in split 'nobody'"),
    ],
)
def test_what_cannot_be_evaluated_is_said_before_the_work(
    options: tuple[str, ...],
    code: int,
    words: str,
    here: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = ("evaluate", "tiny-disc", "--csv", "eyes.csv", "--target", "spot", *options)
    monkeypatch.setattr(sys, "argv", ["retq", *own])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == code
    assert words in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (cache / "tokens").exists()


def test_groups_of_a_csv_get_their_lines(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = Path("eyes.csv").read_text().splitlines()
    rows = [
        f"{line},{camera}" for line, camera in zip(lines, ("group", "Neo", "RetCam"), strict=True)
    ]
    Path("eyes.csv").write_text("\n".join(rows) + "\n")
    own = ("evaluate", "two", "--csv", "eyes.csv", "--target", "spot", "--split", "all")
    monkeypatch.setattr(sys, "argv", ["retq", *own, "--size", "64"])
    main()
    said = capsys.readouterr().out
    assert "at 64 x 64 pixels" in said
    for camera in ("Neo", "RetCam"):
        (line,) = [one for one in said.splitlines() if one.startswith(camera)]
        assert line.split()[1] == "1"
