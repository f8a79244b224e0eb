"""The examples run as they stand, on the photograph beside them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def run(name: str, *arguments: object) -> str:
    kept = os.environ.get("RETQ_TEST_CACHE")
    settings = {"RETQ_CACHE": kept} if kept else {}
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name, *map(str, arguments)],
        env=os.environ | settings,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "not a medical device" in done.stdout
    return done.stdout


def test_grading_in_the_same_pass() -> None:
    said = run("grading.py")
    assert "idrid-lesions: " in said
    assert "idrid-dr-grade: " in said


def test_an_archive_with_a_torn_photograph(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "retina.jpg", tmp_path / "eye.jpg")
    (tmp_path / "torn.jpg").write_bytes((EXAMPLES / "retina.jpg").read_bytes()[:9999])
    said = run("archive.py", tmp_path)
    assert "eye.jpg {'idrid-disc': '1.5" in said
    assert "torn.jpg cannot be decoded" in said
    assert "\n1 could not be used\n" in said
