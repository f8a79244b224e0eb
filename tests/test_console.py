import json
import os
import pty
import subprocess
import sys

import pytest

from retq_hub.cli.console import BarProgress, print_facts, print_json, print_table, say

SCRIPT = """
import time
from retq_hub.cli.console import BarProgress, print_facts, print_json, print_table, say
progress = BarProgress()
for number in progress.steps(range(6), what="training", total=6):
    time.sleep(0.3)
    progress.measure(f"loss {number}", milestone=number == 2)
"""


def test_a_log_gets_the_milestones_alone(capfd: pytest.CaptureFixture[str]) -> None:
    progress = BarProgress()
    for number in progress.steps(range(4), what="training", total=4):
        progress.measure(f"loss {number}", milestone=number == 2)
    out, err = capfd.readouterr()
    assert out == ""
    assert err == "loss 2\n"


def test_a_terminal_shows_the_last_value_beside_the_bar() -> None:
    screen, terminal = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stderr=terminal, env=environment) as one:
        os.close(terminal)
        seen = b"".join(iter(lambda: _read(screen), b"")).decode()
    os.close(screen)
    assert one.returncode == 0
    frames = [line for line in seen.replace("\n", "\r").split("\r") if "training" in line]
    assert "6/6" in frames[-1]
    assert "loss 5" in frames[-1]
    assert not any("loss" in line and "training" not in line for line in seen.split("\r"))


def _read(screen: int) -> bytes:
    """Read what there is; a terminal that everyone has left is an error on Linux."""
    try:
        return os.read(screen, 4096)
    except OSError:
        return b""


EVIL = "a\x1b]0;title\x07\x9b31m\u202eb"
"""Sets a window's title, colours what follows and turns the direction of writing."""


def test_nothing_that_is_printed_can_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name"], [[EVIL]])
    print_facts([("name", EVIL)])
    print_json({"name": EVIL, "label": "µm"})
    say(EVIL)
    BarProgress().note(EVIL)
    out, err = capsys.readouterr()
    assert (out + err).replace("\n", "").isprintable()
    assert '"label": "\\u00b5m"' in out
    assert json.loads(out[out.index("{") :])["name"] == EVIL
