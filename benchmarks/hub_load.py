"""How much a self-hosted hub bears: `model_info` over many repositories, pulls and pushes at once.

Run it as ``python benchmarks/hub_load.py [--repositories 10000] [--json]``. It starts `retq serve`
in a folder of its own, fills it through the protocol, and measures, client and server on the same
machine:

- `model_info`: requests a second over kept connections, repositories drawn at random;
- 64 pulls of one query at once, each into a cache of its own;
- 16 pushes at once to 16 repositories, and 2 at once to one;
- `retq pull` of one query into an empty cache, as a process of its own.
"""

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_UPDATE_CHECK"] = "1"
os.environ["NO_PROXY"] = "127.0.0.1"

from huggingface_hub import CommitOperationAdd, HfApi

from retq_hub.embedded import REGISTRY

RETQ = [sys.executable, "-m", "retq_hub.cli"]
USER = "bench"
Ran = tuple[int, float, str]
"""Exit code, seconds, and what was said on stderr."""
QUERY = REGISTRY / "queries" / "idrid-disc" / "1.0.0"


@contextmanager
def serving(data: Path) -> Iterator[str]:
    process = subprocess.Popen(
        [*RETQ, "serve", "--data", str(data), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield re.search(r"http://[\w.:]+", process.stdout.readline())[0]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def fill(api: HfApi, n_repositories: int) -> None:
    """Make repositories of one commit each."""

    def one(number: int) -> None:
        repo = f"{USER}/q-{number:05}"
        api.create_repo(repo)
        card = f"---\nlibrary_name: retq\ntags: [retq, 'target:t{number % 50}']\n---\n# {number}\n"
        api.create_commit(
            repo, [CommitOperationAdd("README.md", card.encode())], commit_message="first"
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(n_repositories)))


async def _ask(host: str, port: int, paths: Iterator[str], until: float, took: list[float]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    while (began := time.perf_counter()) < until:
        writer.write(f"GET {next(paths)} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(head.decode())
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        await reader.readexactly(int(length[1]))
        took.append(time.perf_counter() - began)
    writer.close()
    await writer.wait_closed()


async def _rate(endpoint: str, n_repositories: int, seconds: float) -> dict[str, float]:
    host, port = endpoint.removeprefix("http://").split(":")
    rng = random.Random(0)
    paths = (f"/api/models/{USER}/q-{rng.randrange(n_repositories):05}" for _ in iter(int, 1))
    took: list[float] = []
    until = time.perf_counter() + seconds
    await asyncio.gather(*(_ask(host, int(port), paths, until, took) for _ in range(8)))
    return {
        "model_info_per_s": len(took) / seconds,
        "model_info_median_ms": 1e3 * statistics.median(took),
        "model_info_p99_ms": 1e3 * statistics.quantiles(took, n=100)[98],
    }


def retq(endpoint: str, token: str, home: Path, *arguments: str) -> Ran:
    """Run a command with caches of its own; give exit code, seconds and what it said."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_TOKEN": token,
        "HF_HOME": str(home / "hf"),
        "RETQ_CACHE": str(home / "retq"),
    }
    began = time.perf_counter()
    done = subprocess.run(
        [*RETQ, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, time.perf_counter() - began, done.stderr.strip()


def together(n: int, run: Callable[[int], Ran]) -> tuple[float, list[Ran]]:
    """Run so many at once; give the seconds of all and what each gave."""
    began = time.perf_counter()
    with ThreadPoolExecutor(n) as pool:
        results = list(pool.map(run, range(n)))
    return time.perf_counter() - began, results


def measure(scratch: Path, n_repositories: int, seconds: float) -> dict[str, float]:
    data = scratch / "data"
    token = subprocess.run(
        [*RETQ, "serve", "user", "add", USER, "--data", str(data)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    with serving(data) as endpoint:
        began = time.perf_counter()
        fill(HfApi(endpoint=endpoint, token=token), n_repositories)
        figures = {"repositories": n_repositories, "filled_s": time.perf_counter() - began}
        figures |= asyncio.run(_rate(endpoint, n_repositories, seconds))

        def push(number: int, repo: str) -> Ran:
            folder = Path(shutil.copytree(QUERY, scratch / f"push-{repo}-{number}"))
            manifest = json.loads((folder / "retq.json").read_text())
            manifest["summary"] += f" Number {number}."
            (folder / "retq.json").write_text(json.dumps(manifest))
            return retq(
                endpoint, token, scratch / f"h{number}", "push", str(folder), "--repo", repo
            )

        wall, done = together(16, lambda number: push(number, f"{USER}/pushed-{number}"))
        figures |= {
            "pushes": sum(code == 0 for code, _, _ in done),
            "pushes_wall_s": wall,
        }
        _, done = together(2, lambda number: push(100 + number, f"{USER}/contested"))
        figures["contested_won"] = sum(code == 0 for code, _, _ in done)
        print(*(said for code, _, said in done if code), sep="\n", file=sys.stderr)
        name = f"{USER}/pushed-0"
        wall, done = together(
            64, lambda number: retq(endpoint, token, scratch / f"c{number}", "pull", name)
        )
        figures |= {"pulls": sum(code == 0 for code, _, _ in done), "pulls_wall_s": wall}
        alone = [retq(endpoint, token, scratch / f"s{i}", "pull", name)[1] for i in range(5)]
        figures["one_pull_s"] = statistics.median(alone)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repositories", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(Path(scratch), given.repositories, given.seconds)
    if given.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:<22} {value:>10.4g}")


if __name__ == "__main__":
    main()
