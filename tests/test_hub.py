"""`hub.reading.download` against the stock client, which speaks to a small hub on a loopback port.

The client reads ``HF_ENDPOINT`` when it is imported, so each hub has a process of its own.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from servers import HubRepo, HubServer

BODY = b"tensors" * 1000
PIN = hashlib.sha256(BODY).hexdigest()

CASES: dict[str, tuple[str, str, str]] = {
    "main": ("eyes/green", "main", "w.pth"),
    "tag": ("eyes/green", "v1.0.0", "w.pth"),
    "again": ("eyes/green", "v1.0.0", "w.pth"),
    "commit": ("eyes/green", HubRepo({}).commit, "folder/config.json"),
    "no repository": ("eyes/absent", "main", "w.pth"),
    "no revision": ("eyes/green", "v9.9.9", "w.pth"),
    "no file": ("eyes/green", "main", "absent.pth"),
    "gated": ("eyes/gated", "main", "w.pth"),
    "forbidden": ("eyes/green", "main", "forbidden"),
    "bad name": ("eyes/gre en--x", "main", "w.pth"),
}

DRIVER = """
import json, sys
from retq_hub.checkpoint import fetch
from retq_hub.errors import RetqError
from retq_hub.hub import reading
from retq_hub.spec import Source
from retq_hub.progress import Silent

def fetched(repo, revision, filename, sha256):
    members = dict(kind="hub", repo=repo, revision=revision, filename=filename)
    with fetch([Source(**members, sha256=sha256)], progress=Silent()) as (path, origin):
        return path.read_bytes().decode(), origin

def downloaded(repo, revision, filename):
    return reading.download(repo, revision=revision, filename=filename).read_bytes().decode()

for name, case in json.load(sys.stdin).items():
    try:
        answer = {"value": downloaded(*case) if len(case) == 3 else fetched(*case)}
    except RetqError as error:
        answer = {"error": type(error).__name__, "line": str(error), "hint": error.hint}
    except Exception as error:
        answer = {"error": type(error).__name__, "line": str(error), "hint": "NOT OURS"}
    print(json.dumps({"case": name, **answer}))
"""


def drive(
    endpoint: str, home: Path, cases: dict[str, tuple[str | None, ...]], **settings: str
) -> dict[str, dict[str, str]]:
    """Run the cases in one process and give each one's value or error."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    env |= {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "NO_PROXY": "127.0.0.1",
        "RETQ_CACHE": str(home / "retq"),
        **settings,
    }
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps(cases),
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return {answer.pop("case"): answer for answer in answers}


@pytest.fixture(scope="module")
def answers(
    hub_server: HubServer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, str]]:
    """What all cases gave."""
    files = {"w.pth": BODY, "folder/config.json": b"{}"}
    hub_server.repos["eyes/green"] = HubRepo(files, revisions=("main", "v1.0.0"))
    hub_server.repos["eyes/gated"] = HubRepo(files, gated=True)
    cases = CASES | {
        "pinned": ("eyes/green", "main", "w.pth", PIN),
        "other digest": ("eyes/green", "main", "w.pth", "0" * 64),
        "unpinned": ("eyes/green", "main", "large.bin", None),
    }
    hub_server.repos["eyes/green"].files["large.bin"] = b"large"
    return drive(hub_server.root, tmp_path_factory.mktemp("hf"), cases)


@pytest.mark.parametrize("case", ["main", "tag", "again"])
def test_a_file_of_a_branch_or_tag_is_delivered(answers, case):
    assert answers[case] == {"value": BODY.decode()}


def test_a_file_in_a_folder_at_a_commit_is_delivered(answers):
    assert answers["commit"] == {"value": "{}"}


def test_a_file_comes_over_the_network_once(answers, hub_server):
    assert [line for line in hub_server.log if line.startswith("GET") and "w.pth" in line] == [
        "GET /eyes/green/resolve/main/w.pth"
    ]


@pytest.mark.parametrize("case", ["no repository", "no revision", "no file"])
def test_what_the_hub_does_not_have_is_not_found(answers, case):
    repo, revision, file = CASES[case]
    assert answers[case]["error"] == "NotFoundError"
    assert f"the Hub has no {repo}@{revision}/{file}" in answers[case]["line"]


def test_a_gated_repository_says_how_to_get_in(answers):
    assert answers["gated"]["error"] == "NetworkError"
    assert "eyes/gated is gated" in answers["gated"]["line"]
    assert "hf auth login" in answers["gated"]["hint"]


def test_a_hub_that_answers_with_an_error_is_not_called_unreachable(answers):
    assert answers["forbidden"]["error"] == "NetworkError"
    assert "eyes/green@main/forbidden" in answers["forbidden"]["line"]
    assert "403" in answers["forbidden"]["line"]


def test_a_name_that_no_hub_can_have_is_not_found(answers):
    assert answers["bad name"]["error"] == "NotFoundError"


def test_every_error_is_one_line_with_a_next_step(answers):
    failed = {case: one for case, one in answers.items() if "error" in one and case != "bad name"}
    assert len(failed) == 7
    for case, one in failed.items():
        assert "\n" not in one["line"], case
        assert one["hint"] not in ("", "NOT OURS"), case


UNREACHABLE = "eyes/green@main/w.pth cannot be reached and is not in the local cache"


def test_without_a_network_the_settings_that_matter_are_named(tmp_path):
    case = {"main": CASES["main"]}
    answer = drive("http://127.0.0.1:9", tmp_path, case, HF_HUB_OFFLINE="1")["main"]
    assert (answer["error"], UNREACHABLE in answer["line"]) == ("Unreachable", True)
    assert "HF_HUB_OFFLINE" in answer["hint"]


def test_a_hub_that_refuses_connections_is_a_network_error(tmp_path):
    with HubServer() as gone:
        endpoint = gone.root
    answer = drive(endpoint, tmp_path, {"main": CASES["main"]})["main"]
    assert answer["error"] == "Unreachable"
    assert (
        f"{endpoint} did not deliver eyes/green@main/w.pth: it cannot be reached" in answer["line"]
    )
    assert "HF_ENDPOINT" in answer["hint"]


def test_a_hub_source_of_weights_is_verified(answers):
    assert answers["pinned"] == {"value": [BODY.decode(), "eyes/green@main/w.pth"]}
    assert answers["other digest"]["error"] == "DigestMismatch"


def test_an_unpinned_hub_source_is_refused_before_anything_is_downloaded(answers, hub_server):
    assert answers["unpinned"]["error"] == "UsageError"
    assert "--sha256" in answers["unpinned"]["line"]
    assert [line for line in hub_server.log if "large.bin" in line] == []
