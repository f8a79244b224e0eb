"""The gallery of a hub that is really served, filled by the stock client."""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from hubs import Hub, artifact_operations, running_hub

from retq_hub.embedded import REGISTRY

QUERIES = REGISTRY / "queries"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub")) as hub:
        alice = hub.api("alice")
        for repo in ("disc", "gated", "private", "broken", "plain", "early"):
            alice.create_repo(f"alice/{repo}")
        for version in ("1.0.0", "1.1.0"):
            push(hub, "alice/disc", QUERIES / "idrid-disc" / version, tag=f"v{version}")
        ridge = QUERIES / "rop-ridge" / "1.1.0"
        for repo in ("gated", "private", "broken"):
            push(hub, f"alice/{repo}", ridge)
        alice.update_repo_settings("alice/gated", gated="manual")
        alice.update_repo_settings("alice/private", private=True)
        put(hub, "alice/broken", "query.safetensors", b"\x10\0\0\0\0\0\0\0{}")
        put(hub, "alice/plain", "README.md", b"---\nlicense: mit\n---\n# Only words\n")
        push(hub, "alice/early", ridge, tag="v0.9.0-rc.1+build.5")
        yield hub


def push(hub: Hub, repo: str, folder: Path, *, tag: str = "") -> None:
    hub.api("alice").upload_folder(repo_id=repo, folder_path=folder)
    if tag:
        hub.api("alice").create_tag(repo, tag=tag)


def put(hub: Hub, repo: str, path: str, content: bytes) -> None:
    hub.api("alice").upload_file(repo_id=repo, path_or_fileobj=content, path_in_repo=path)


def page(hub: Hub, path: str, *, status: int = 200) -> str:
    headers = {"Accept": "text/html", "Authorization": f"Bearer {hub.tokens['alice']}"}
    answer = requests.get(hub.endpoint + path, headers=headers, timeout=20)
    assert answer.status_code == status, path
    return answer.text


def shown(hub: Hub, query: str = "") -> list[str]:
    return re.findall(r'<h3><a href="/([^"]+)">', page(hub, f"/{query}"))


def test_public_queries_are_listed_and_private_ones_are_not(hub):
    assert sorted(shown(hub)) == ["alice/broken", "alice/disc", "alice/early", "alice/gated"]
    assert page(hub, "/alice/private", status=404)


@pytest.mark.parametrize(
    ("query", "repos"),
    [
        ("?words=OPTIC", ["alice/disc"]),
        ("?target=optic+disc&dice=0.9", ["alice/disc"]),
        ("?dice=0.99", []),
        ("?sort=dice&licence=CC-BY-4.0&page=2", []),
    ],
)
def test_a_search_reaches_the_catalogue(hub, query, repos):
    assert shown(hub, query) == repos


def test_orders_reach_the_catalogue(hub):
    assert shown(hub, "?sort=dice")[0] == "alice/disc"
    assert shown(hub, "?sort=newest")[-1] == "alice/disc"


def test_what_else_could_be_chosen_is_counted(hub):
    html = page(hub, "/?target=optic+disc")
    assert re.search(r'<option value="optic disc" selected>optic disc \(1\)', html)
    assert re.search(r'<option value="ridge of retinopathy of prematurity">[^<]+\(3\)', html)


def test_the_newest_version_is_shown_and_an_older_one_on_demand(hub):
    html = page(hub, "/alice/disc")
    assert "retq pull alice/disc@1.1.0" in html
    assert "Intact." in html
    older = page(hub, "/alice/disc/tree/v1.0.0")
    assert "retq pull alice/disc@1.0.0" in older
    commit = hub.api().model_info("alice/disc", revision="v1.0.0").sha
    assert "retq pull alice/disc@1.0.0" in page(hub, f"/alice/disc/tree/{commit}")
    assert "retq pull alice/disc@1.0.0" in page(hub, f"/alice/disc/commit/{commit}")
    assert page(hub, "/alice/disc/tree/v7.0.0", status=404)


def test_a_gated_query_shows_no_files(hub):
    html = page(hub, "/alice/gated")
    assert "Gated." in html and "Model card" in html and "/resolve/" not in html


def test_a_broken_query_shows_its_findings(hub):
    html = page(hub, "/alice/broken")
    assert "Not intact: 1 finding." in html
    assert "<code>query.safetensors</code>" in html


@pytest.mark.parametrize(
    "changes",
    [
        {"targets": []},
        {"summary": "\ud800 <script>alert(1)</script>"},
        {"version": '../../x"><script>alert(1)</script>'},
        {"data": [], "authors": [], "metrics": []},
        {"licence": {"id": "x", "url": "javascript:alert(1)"}},
        {"head": {"activation": "?", "thresholds": [], "threshold_choice": ""}},
        {"basis": {"norm": True, "passes": [{"size_px": 0, "tiles": -1, "layers": []}]}},
        {"metrics": [1e999]},
    ],
)
def test_a_manifest_that_breaks_its_schema_still_has_a_page(hub, changes):
    document = json.loads((QUERIES / "rop-ridge/1.1.0/retq.json").read_text()) | changes
    hub.api("alice").create_repo("alice/odd", exist_ok=True)
    put(hub, "alice/odd", "retq.json", json.dumps(document).encode())
    html = page(hub, "/alice/odd") + page(hub, "/?words=odd")
    assert "Not intact" in html and "invalid" in html
    assert "<script>alert" not in html and 'href="javascript' not in html


def test_a_repository_without_a_query_has_a_page(hub):
    html = page(hub, "/alice/plain")
    assert "<h3>Only words</h3>" in html
    assert "This commit was not checked" in html


def test_a_pre_release_is_not_what_is_current(hub):
    html = page(hub, "/alice/early")
    assert "0.9.0-rc.1+build.5" in html


def test_files_lead_to_the_hub(hub):
    address = re.search(r'href="(/alice/disc/resolve/\w+/retq.json)"', page(hub, "/alice/disc"))[1]
    answer = requests.get(hub.endpoint + address, timeout=20)
    assert json.loads(answer.content)["version"] == "1.1.0"


def test_the_protocol_takes_precedence(hub):
    answer = requests.get(
        f"{hub.endpoint}/api/nothing", headers={"Accept": "text/html"}, timeout=20
    )
    assert answer.status_code == 404
    assert "error" in answer.json()
    assert "All queries" in page(hub, "/no/such/page", status=404)


def test_a_yanked_version_is_no_longer_the_current_one(hub):
    put(hub, "alice/disc", "yanked.json", b'{"1.1.0": "It marks <the> fovea."}')
    html = page(hub, "/alice/disc")
    assert "retq pull alice/disc@1.0.0" in html
    pinned = page(hub, "/alice/disc/tree/v1.1.0")
    assert "It marks &lt;the&gt; fovea." in pinned
    put(hub, "alice/disc", "yanked.json", b'["not", "a", "table"]')
    assert "retq pull alice/disc@1.1.0" in page(hub, "/alice/disc")


def test_what_is_too_large_is_not_read(hub):
    folder = QUERIES / "rop-ridge" / "1.1.0"
    padding = {
        "yanked.json": b'{"1.1.0": "no more"}',
        "overlay.jpg": (folder / "overlay.jpg").read_bytes(),
        "retq.json": (folder / "retq.json").read_bytes(),
    }
    hub.api("alice").create_repo("alice/heavy")
    push(hub, "alice/heavy", folder)
    for name, content in padding.items():
        put(hub, "alice/heavy", name, content + b" " * 11_000_000)
    html = page(hub, "/alice/heavy")
    assert "missing or cannot be read" in html
    assert ">yanked<" not in html
    address = re.search(r'src="(/-/picture/[^"]+)"', html)[1]
    assert requests.get(hub.endpoint + address, timeout=20).status_code == 404


def test_what_a_stranger_proposes_is_not_taken_for_the_owners(hub):
    alice, repo = hub.api("alice"), "alice/open"
    alice.create_repo(repo)
    made = hub.api("bob").create_commit(
        repo, artifact_operations(), commit_message="Take mine", create_pr=True
    )
    for revision in (made.oid, made.pr_revision):
        assert "Proposed by bob" in page(hub, f"/{repo}/tree/{revision}")
    assert made.pr_url == f"{hub.endpoint}/{repo}/discussions/{made.pr_num}"
    assert "Proposed by bob" in page(hub, f"/{repo}/discussions/{made.pr_num}")
    question = alice.create_discussion(repo, "Which camera?")
    page(hub, f"/{repo}/discussions/{question.num}", status=404)
    alice.merge_pull_request(repo, made.pr_num)
    assert "Proposed by" not in page(hub, f"/{repo}")


def test_a_tag_of_nothing_is_no_version(hub):
    alice = hub.api("alice")
    alice.create_repo("alice/hollow")
    alice.create_tag("alice/hollow", tag="v1.0.0")
    push(hub, "alice/hollow", QUERIES / "rop-ridge" / "1.1.0")
    html = page(hub, "/alice/hollow")
    assert "No version is published" in html and "Intact." in html


def test_a_photograph_is_tried_on_a_served_hub(
    tmp_path: Path, make_query: Callable[..., Path], registry_folder: Path, cache: Path
):
    assert os.environ["RETQ_REGISTRY"] == str(registry_folder)
    with running_hub(tmp_path) as hub:
        hub.api("alice").create_repo("alice/spot")
        folder = make_query(tmp_path / "spot", name="spot")
        (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\n# spot\n")
        push(hub, "alice/spot", folder)
        answer = requests.post(
            f"{hub.endpoint}/apply",
            data={"q": "alice/spot", "example": "1"},
            files={"none": ""},
            timeout=120,
        )
        assert answer.status_code == 200
        assert "What was marked" in answer.text
        assert "Traceback" not in hub.log.read_text()
