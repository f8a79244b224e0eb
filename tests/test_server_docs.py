"""What docs/self-hosting.md tells to type works, and a backup made as it says is a hub."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from hubs import ARTIFACT, running_hub

PAGE = Path(__file__).resolve().parent.parent / "docs" / "self-hosting.md"
START, USE, BACKUP = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def bash(script: str, folder: Path, **settings: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = (
        os.environ
        | {"PATH": path, "HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "0"}
        | settings
    )
    done = subprocess.run(
        ["bash", "-euc", script], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_works_as_written(tmp_path, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert "retq serve user add alice --data hub/ > alice.token" in START
    shutil.copytree(ARTIFACT, tmp_path / "drusen")
    with running_hub(tmp_path) as hub:
        (tmp_path / "hub").symlink_to(hub.data)
        (tmp_path / "alice.token").write_text(f"{hub.tokens['alice']}\n")
        shown = bash(USE.replace("http://127.0.0.1:8080", hub.endpoint), tmp_path)
        assert "alice/drusen" in shown
        bash(BACKUP, tmp_path)
        (tmp_path / "restored").mkdir()
        shutil.copytree(tmp_path / "backup", tmp_path / "restored" / "data")
        with running_hub(tmp_path / "restored", tokens=hub.tokens) as copy:
            info = copy.api("alice").model_info("alice/drusen", revision="v1.0.0")
            assert info.safetensors.total == 385
            assert copy.api("alice").file_exists("alice/drusen", "query.safetensors")
