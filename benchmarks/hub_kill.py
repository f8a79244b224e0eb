"""Kill a self-hosted hub again and again while it is written to, and look for what was lost.

Run it as ``python benchmarks/hub_kill.py [--rounds 50] [--writers 4] [--json]``. Every round lets
several writers commit as fast as they can (a small file and a tensor file of 200 kB in each
commit), kills `retq serve` without warning at a random moment, starts it again at once, lets the
writers end what they were at, and reads everything back: each commit that was acknowledged, before
or in this round, must be in its repository's history, and the files of each repository's last
commit must be those that its title promises.
"""

import argparse
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["NO_PROXY"] = "127.0.0.1"

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import httpx

RETQ = [sys.executable, "-m", "retq_hub.cli"]
USER = "writer"


@dataclass
class Tally:
    """What was acknowledged, and what was not as it should be."""

    acknowledged: int = 0
    unacknowledged_found: int = 0
    lost: list[str] = field(default_factory=list)
    half_written: list[str] = field(default_factory=list)
    restart_s: list[float] = field(default_factory=list)


class Hub:
    """A hub that can be killed and started again on the same port."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> float:
        """Start it and give the seconds until it listens."""
        began = time.perf_counter()
        self._process = subprocess.Popen(
            [*RETQ, "serve", "--data", str(self._data), "--port", str(self._port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        line = self._process.stdout.readline()
        self._port = int(re.search(r"http://[\w.]+:(\d+)", line)[1])
        return time.perf_counter() - began

    def kill(self) -> None:
        """End it at once; it cannot do anything about it."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()


def content(number: int) -> tuple[bytes, bytes]:
    """The two files of a commit: its number, and bytes that follow from it."""
    block = hashlib.sha256(str(number).encode()).digest()
    return str(number).encode(), block * 6250


def write(
    api: HfApi,
    repo: str,
    numbers: Iterator[int],
    stopped: threading.Event,
    told: list[tuple[str, str]],
) -> None:
    """Commit until told to stop; what the hub did not answer is not counted."""
    while not stopped.is_set():
        number = next(numbers)
        small, large = content(number)
        operations = [
            CommitOperationAdd("number.txt", small),
            CommitOperationAdd("tensors.safetensors", large),
        ]
        try:
            done = api.create_commit(repo, operations, commit_message=f"number {number}")
        except (HfHubHTTPError, httpx.HTTPError, OSError):
            continue
        told.append((repo, done.oid))


def check(api: HfApi, repos: list[str], told: dict[str, set[str]], tally: Tally) -> None:
    """Read all histories and last commits back."""
    for repo in repos:
        history = api.list_repo_commits(repo)
        have = {one.commit_id for one in history}
        tally.lost += [f"{repo}@{oid}" for oid in told[repo] - have]
        numbered = [one for one in history if one.title.startswith("number ")]
        tally.unacknowledged_found += len({one.commit_id for one in numbered} - told[repo])
        told[repo] |= {one.commit_id for one in numbered}
        if not numbered:
            continue
        wanted = content(int(numbered[0].title.split()[1]))
        for name, body in zip(("number.txt", "tensors.safetensors"), wanted, strict=True):
            url = f"{api.endpoint}/{repo}/resolve/{numbered[0].commit_id}/{name}"
            answer = httpx.get(url, follow_redirects=True, timeout=30)
            if answer.status_code != 200 or answer.content != body:
                tally.half_written.append(f"{repo}@{numbered[0].commit_id}/{name}")


def rounds(data: Path, *, n_rounds: int, n_writers: int, seed: int) -> Tally:
    """Kill the hub so often, and say what was lost."""
    token = subprocess.run(
        [*RETQ, "serve", "user", "add", USER, "--data", str(data)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    repos = [f"{USER}/repo-{number}" for number in range(n_writers)]
    rng, tally, told = random.Random(seed), Tally(), defaultdict(set)
    counter = iter(range(10**9))
    hub = Hub(data)
    hub.start()
    api = HfApi(endpoint=hub.endpoint, token=token)
    for repo in repos:
        api.create_repo(repo)
    for number in range(n_rounds):
        stopped = threading.Event()
        acknowledged: list[tuple[str, str]] = []
        threads = [
            threading.Thread(target=write, args=(api, repo, counter, stopped, acknowledged))
            for repo in repos
        ]
        for thread in threads:
            thread.start()
        time.sleep(rng.uniform(0.1, 2.0))
        hub.kill()
        tally.restart_s.append(hub.start())
        stopped.set()
        for thread in threads:
            thread.join()
        for repo, oid in acknowledged:
            told[repo].add(oid)
        tally.acknowledged += len(acknowledged)
        check(api, repos, told, tally)
        print(f"round {number + 1}: {len(acknowledged)} commits acknowledged", file=sys.stderr)
    hub.kill()
    return tally


def report(tally: Tally, n_rounds: int) -> dict[str, Any]:
    """Give the figures to print."""
    figures = asdict(tally)
    figures["restart_s"] = round(max(tally.restart_s), 2)
    return {"kills": n_rounds, **figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        tally = rounds(
            Path(scratch), n_rounds=given.rounds, n_writers=given.writers, seed=given.seed
        )
    figures = report(tally, given.rounds)
    if given.json:
        print(json.dumps(figures, indent=2))
    else:
        print(f"{given.rounds} kills under load of {given.writers} writers")
        print(f"commits acknowledged           {tally.acknowledged}")
        print(f"of these lost                  {len(tally.lost)}")
        print(f"last commits half-written      {len(tally.half_written)}")
        print(f"whole, but not acknowledged    {tally.unacknowledged_found}")
        print(f"longest start after a kill     {figures['restart_s']} s")
    sys.exit(bool(tally.lost or tally.half_written))


if __name__ == "__main__":
    main()
