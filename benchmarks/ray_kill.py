"""Kill a run on Ray twice, a worker and then all of it, and look for what was lost or doubled.

    python benchmarks/ray_kill.py [--images 240] [--workers 2] [--json]

Segments copies of the example photograph into tables with `retq segment --engine-pool ray`, kills a
worker without warning once the first part is there, and the command itself, with all its processes,
a part later. A second run carries on. The transcript goes to stderr; each image must be in the
tables exactly once.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from ab import Report, main, needed

from retq_hub.embedded import EXAMPLE_IMAGE

RETQ = [sys.executable, "-m", "retq_hub.cli"]


def measure(options: argparse.Namespace) -> Report:
    needed("ray", "ray")  # brings psutil along, which is not installed by itself
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        images = [folder / "archive" / f"eye{n:05}.jpg" for n in range(options.images)]
        images[0].parent.mkdir()
        for image in images:
            shutil.copyfile(EXAMPLE_IMAGE, image)
        (folder / "archive" / "torn.jpg").write_bytes(EXAMPLE_IMAGE.read_bytes()[:5000])
        command = ["segment", "archive", "-q", "idrid-disc", "-o", "out", "--format", "parquet"]
        command += ["--engine-pool", "ray", "--workers", str(options.workers)]
        told(command)
        interrupted(command, folder)
        told(command)
        done = subprocess.run([*RETQ, *command], cwd=folder, text=True, capture_output=True)
        say(done.stderr + done.stdout + f"exit code {done.returncode}")
        counts = Counter(listed(folder / "out"))
    lost = sum(counts[str(one)] == 0 for one in images)
    doubled = sum(counts[str(one)] > 1 for one in images)
    say(f"# {len(counts)} images in the tables, {lost} lost, {doubled} doubled")
    report = Report(
        "Killed runs on Ray",
        what=f"`retq segment --engine-pool ray` over {len(images)} images and a torn one: a worker "
        "is killed after the first part, then the command with all its processes; a second run "
        "carries on.",
    )
    report.add_target("images lost", lost, at_most=0)
    report.add_target("images doubled", doubled, at_most=0)
    return report


def interrupted(command: list[str], folder: Path) -> None:
    """Start the run, kill a worker after the first part, and all of it after the second."""
    import psutil

    running = subprocess.Popen(
        [*RETQ, *command], cwd=folder, start_new_session=True, stdout=sys.stderr
    )
    wait_for(folder, 1, running)
    victim = workers_of(running.pid)[0]
    victim.send_signal(signal.SIGKILL)
    say(f"# worker {victim.pid} is killed; {state(folder)}")
    wait_for(folder, 2, running)
    below = psutil.Process(running.pid).children(recursive=True)
    for process in [psutil.Process(running.pid), *below]:
        process.send_signal(signal.SIGKILL)
    running.wait()
    say(f"# the command is killed, with its {len(below)} processes; {state(folder)}")


def workers_of(pid: int) -> list[Any]:
    """Give the workers that a command has started."""
    import psutil

    below = psutil.Process(pid).children(recursive=True)
    return [one for one in below if "ray::_Worker" in " ".join(one.cmdline())]


def wait_for(folder: Path, count: int, running: "subprocess.Popen[bytes]") -> None:
    """Wait until so many parts are there."""
    while len(list((folder / "out" / "parts").glob("part-*.parquet"))) < count:
        if running.poll() is not None:
            sys.exit("the run ended before it was killed: give more --images")
        time.sleep(0.1)


def state(folder: Path) -> str:
    """Say what is in the tables."""
    return f"{len(Counter(listed(folder / 'out')))} images are in the tables"


def listed(out: Path) -> list[str]:
    """Give the images of all rows."""
    from retq_hub.archives import parts

    return parts.read(out, columns=["image"]).column("image").to_pylist()


def told(command: list[str]) -> None:
    """Show a command as it is typed."""
    say("$ retq " + " ".join(command))


def say(text: str) -> None:
    """Print the transcript at once, beside what the commands print."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    os.environ.setdefault("COLUMNS", "80")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--workers", type=int, default=2)
    main(measure, parser)
