"""The pages as a browser without scripts gets them."""

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from PIL import Image
from shelves import Crowd, FolderShelf, served

from retq_hub.card import NOT_A_DEVICE
from retq_hub.embedded import EXAMPLE_IMAGE, REGISTRY
from retq_hub.gallery.browse import PAGE_SIZE

QUERIES = REGISTRY / "queries"


def picture(side_px: int = 900) -> bytes:
    stream = io.BytesIO()
    Image.open(EXAMPLE_IMAGE).resize((side_px, side_px)).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some embedded queries, one of them with a picture, and what has gone wrong with others."""
    root = tmp_path_factory.mktemp("root")
    for name in ("idrid-disc", "idrid-lesions", "rop-ridge"):
        for version in ("1.0.0", "1.1.0"):
            shutil.copytree(QUERIES / name / version, root / "lab" / name / version)
    (root / "lab/idrid-disc/1.1.0/overlay.jpg").write_bytes(picture())
    (root / "lab/idrid-lesions/1.1.0/overlay.jpg").write_bytes(b"<script>alert(1)</script>")
    shutil.copytree(QUERIES / "rop-ridge" / "1.1.0", root / "clinic/ridge/1.1.0")
    broken = Path(shutil.copytree(QUERIES / "idrid-ex" / "1.0.0", root / "clinic/broken/0.1.0"))
    (broken / "query.safetensors").write_bytes(b"\xff" * 100)
    (broken / "golden.safetensors").unlink()
    nothing = root / "clinic/nothing/0.1.0"
    nothing.mkdir(parents=True)
    (nothing / "retq.json").write_text('{"name": "<b>nothing</b>"}')
    (nothing / "README.md").write_text("# Notes\n\n<script>alert(1)</script>")
    return root


@pytest.fixture(scope="module")
def url(root: Path) -> Iterator[str]:
    shelf = FolderShelf(root, gated={"clinic/ridge"}, yanked={"lab/idrid-disc@1.0.0"})
    with served(shelf) as url:
        yield url


def page(address: str, *, status: int = 200) -> str:
    answer = requests.get(address, headers={"Accept": "text/html"}, timeout=20)
    assert answer.status_code == status
    return answer.text


def shown(address: str) -> list[str]:
    """Give the repositories on a page of results."""
    return re.findall(r'<h3><a href="/([^"]+)">', page(address))


@pytest.mark.parametrize("path", ["/", "/lab/idrid-disc", "/apply", "/lab/none", "/-/gallery.css"])
def test_every_answer_keeps_to_itself(url, path):
    headers = requests.get(url + path, timeout=20).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/", "/lab/idrid-disc", "/clinic/broken", "/apply", "/lab/none"])
def test_a_page_holds_nothing_inline_and_nothing_from_elsewhere(url, path):
    html = requests.get(url + path, headers={"Accept": "text/html"}, timeout=20).text
    assert not re.search(r"<script(?![^>]+(src=\"/-/|type=\"application/json\"))", html)
    assert not re.search(r"<style|\sstyle=|\son\w+=", html)
    assert not re.search(r"<(img|script|link|form)[^>]+(src|href|action)=\"(https?:)?//", html)
    assert html.count(NOT_A_DEVICE) >= 1


def test_the_notice_stands_once_on_the_first_page(url):
    assert page(f"{url}/").count(NOT_A_DEVICE) == 1


def test_all_queries_are_listed(url):
    assert len(shown(f"{url}/")) == 6
    html = page(f"{url}/")
    for text in ("6 queries", "0.939&ndash;0.961", "gated", "invalid", "optic disc"):
        assert text in html


@pytest.mark.parametrize(
    ("query", "repos"),
    [
        ("words=disc", ["lab/idrid-disc"]),
        ("words=LAB+idrid", ["lab/idrid-disc", "lab/idrid-lesions"]),
        ("target=optic+disc", ["lab/idrid-disc"]),
        ("dice=0.9", ["lab/idrid-disc"]),
        ("backbone=other", []),
        ("words=ridge&licence=CC-BY-4.0&sort=name", ["clinic/ridge", "lab/rop-ridge"]),
        ("words=%00%27%22%3Cscript%3E", []),
    ],
)
def test_a_search_narrows(url, query, repos):
    assert sorted(shown(f"{url}/?{query}")) == repos


def test_results_are_sorted(url):
    assert shown(f"{url}/?sort=name") == sorted(shown(f"{url}/?sort=name"))
    assert shown(f"{url}/?sort=dice")[0] == "lab/idrid-disc"


def test_what_narrows_can_be_taken_away(url):
    html = page(f"{url}/?words=idrid&dice=0.5")
    assert '<a class="chip" href="/?dice=0.5">Words: idrid' in html
    assert '<a class="chip" href="/?words=idrid">Dice at least 0.5' in html


def test_words_come_back_as_text(url):
    html = page(f"{url}/", status=200) + page(f"{url}/?words=%22%3E%3Cscript%3E")
    assert "<script>" not in html
    assert "&#34;&gt;&lt;script&gt;" in html


def test_ten_thousand_queries_come_page_by_page(tmp_path):
    shutil.copytree(QUERIES / "idrid-disc" / "1.1.0", tmp_path / "lab/idrid-disc/1.1.0")
    with served(Crowd(tmp_path)) as url:
        first = page(f"{url}/?sort=name")
        assert "10,000 queries" in first
        assert len(first) < 100_000
        assert len(shown(f"{url}/?sort=name")) == PAGE_SIZE
        assert shown(f"{url}/?sort=name&page=417") == [
            f"crowd/query-{n:05}" for n in range(9984, 10_000)
        ]
        assert "There is no page 999" in page(f"{url}/?page=999")
        assert 'rel="next" href="/?sort=name&amp;page=2"' in first


def test_an_empty_hub_says_how_to_begin(tmp_path):
    with served(FolderShelf(tmp_path)) as url:
        assert "retq push" in page(f"{url}/")
        assert "no query here that can be tried" in page(f"{url}/apply")


def test_a_query_has_a_page_with_all_that_is_known(url):
    html = page(f"{url}/lab/idrid-disc")
    for text in (
        "Optic disc in colour fundus",
        "0.9511",
        "0.9386&ndash;0.9609",
        "IDRiD, part A",
        "commercial use allowed, with attribution",
        "http://snomed.info/id/81016008",
        "other cameras, populations",
        "Intact.",
        "golden.safetensors",
        "2 Nov 2026",
        "<h4>Training data</h4>",
    ):
        assert text in html


def test_its_lines_pin_the_version_on_this_hub(url):
    html = page(f"{url}/lab/idrid-disc")
    assert f"export HF_ENDPOINT={url}\nretq pull lab/idrid-disc@1.1.0\n" in html
    assert "retq segment eye.jpg -q lab/idrid-disc@1.1.0 -o out/" in html
    assert "queries=[&#34;lab/idrid-disc@1.1.0&#34;]" in html


def test_a_hostile_host_does_no_harm(url):
    headers = {"Host": "x$(reboot)';alert(1)//"}
    html = requests.get(f"{url}/lab/idrid-disc", headers=headers, timeout=20).text
    assert "export HF_ENDPOINT=x$(reboot)" not in html
    assert "export HF_ENDPOINT=http://x$(reboot)" not in html


def test_an_older_version_is_shown_when_it_is_asked_for(url):
    html = page(f"{url}/lab/idrid-disc/tree/v1.0.0")
    assert "retq pull lab/idrid-disc@1.0.0" in html
    assert "Yanked." in html
    assert 'href="/lab/idrid-disc">What is current' in html
    assert "pinned" not in page(f"{url}/lab/idrid-disc")


def test_a_gated_query_shows_its_card_and_no_files(url):
    html = page(f"{url}/clinic/ridge")
    assert "Gated." in html
    assert "Model card" in html
    assert "/resolve/" not in html
    assert "Try it on a photograph" not in html


def test_a_broken_query_shows_every_finding(url):
    html = page(f"{url}/clinic/broken")
    assert "Not intact: 2 findings" in html
    assert re.search(r"<code>query.safetensors</code> ", html)
    assert re.search(r"<code>golden.safetensors</code> ", html)
    assert "Try it on a photograph" not in html


def test_a_query_without_a_readable_manifest_has_a_page(url):
    html = page(f"{url}/clinic/nothing")
    assert "cannot be read" in html
    assert "<h3>Notes</h3>" in html
    assert "<script>alert" not in html and "<b>nothing" not in html


def test_a_picture_is_drawn_anew_and_small(url, root):
    commit = re.search(r"/-/picture/small/lab/idrid-disc/(\w+)", page(f"{url}/"))[1]
    answer = requests.get(f"{url}/-/picture/small/lab/idrid-disc/{commit}", timeout=20)
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert "immutable" in answer.headers["Cache-Control"]
    assert max(Image.open(io.BytesIO(answer.content)).size) == 640
    large = requests.get(f"{url}/-/picture/large/lab/idrid-disc/{commit}", timeout=20)
    assert max(Image.open(io.BytesIO(large.content)).size) == 900


def test_what_is_no_picture_is_not_served(url):
    html = page(f"{url}/lab/idrid-lesions")
    address = re.search(r"/-/picture/large/lab/idrid-lesions/\w+", html)[0]
    answer = requests.get(url + address, timeout=20)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "image/svg+xml")
    assert b"alert" not in answer.content


@pytest.mark.parametrize("size", ["huge", "small/../.."])
def test_there_are_two_sizes(url, size):
    commit = re.search(r"/-/picture/small/lab/idrid-disc/(\w+)", page(f"{url}/"))[1]
    answer = requests.get(f"{url}/-/picture/{size}/lab/idrid-disc/{commit}", timeout=20)
    assert answer.status_code == 404


@pytest.mark.parametrize("name", ["gallery.css", "copy.js", "apply.js", "mark.svg"])
def test_static_files_may_be_kept_when_their_digest_is_asked_for(url, name):
    assert "immutable" in requests.get(f"{url}/-/{name}?v=1", timeout=20).headers["Cache-Control"]
    assert requests.get(f"{url}/-/{name}", timeout=20).headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    ["/-/../pages.py", "/-/%2e%2e%2fpages.py", "/-/none.css", "/-/base.html", "/lab", "/a/b/c"],
)
def test_nothing_else_is_there(url, path):
    html = page(url + path, status=404)
    assert "All queries" in html


@pytest.mark.parametrize("path", ["/lab/none", "/lab/idrid-disc/tree/v9.9.9", "/-/etc"])
def test_an_unknown_query_or_version_is_named(url, path):
    assert "Nothing here" in page(url + path, status=404)


def test_programs_are_told_in_json(url):
    answer = requests.get(f"{url}/a/b/c", headers={"Accept": "*/*"}, timeout=20)
    assert (answer.status_code, answer.json()) == (404, {"error": "Not found"})
