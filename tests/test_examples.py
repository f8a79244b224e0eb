"""The examples run as they stand, on the photograph beside them."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def test_grading_in_the_same_pass() -> None:
    kept = os.environ.get("RETQ_TEST_CACHE")
    settings = {"RETQ_CACHE": kept} if kept else {}
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / "grading.py"],
        env=os.environ | settings,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "idrid-lesions: " in done.stdout
    assert "idrid-dr-grade: " in done.stdout
    assert "not a medical device" in done.stdout
