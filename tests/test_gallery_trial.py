"""Photographs tried on the server, without scripts in the browser; on the tiny backbone."""

import base64
import io
import json
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from graders import SIGNS, make_grader
from PIL import Image
from shelves import FolderShelf, served
from support_core import fundus
from tiny import Tiny

from retq_hub.errors import UsageError
from retq_hub.gallery.bench import MAX_QUERIES, Bench, Full
from retq_hub.gallery.upload import MAX_BYTES
from retq_hub.pipeline import Pipeline
from retq_hub.registry import backbone_spec


@pytest.fixture(scope="module")
def root(
    tmp_path_factory: pytest.TempPathFactory, make_query: Callable[..., Path], tiny: Tiny
) -> Path:
    root = tmp_path_factory.mktemp("root")
    make_query(root / "lab/disc/1.0.0", name="disc")
    make_query(root / "lab/pair/1.0.0", name="pair", seed=1, layers=(0, 2), targets=2)
    make_query(root / "lab/gated/1.0.0", name="gated", seed=2)
    make_grader(root / "lab/grade/1.0.0", backbone=tiny.backbone, name="grade")
    make_grader(
        root / "lab/looks/1.0.0",
        backbone=tiny.backbone,
        name="looks",
        pool="attention",
        activation="sigmoid",
        labels=SIGNS,
    )
    for n in range(MAX_QUERIES + 1):
        make_query(root / f"many/spot-{n}/1.0.0", name=f"spot-{n}", seed=n)
    return root


@pytest.fixture
def shelf(root: Path) -> FolderShelf:
    return FolderShelf(root, gated={"lab/gated"})


@pytest.fixture
def bench(shelf: FolderShelf) -> Bench:
    return Bench(shelf, places=1)


@pytest.fixture
def url(shelf: FolderShelf, bench: Bench, registry_folder: Path, cache: Path) -> Iterator[str]:
    with served(shelf, bench=bench) as url:
        yield url


def photograph(kind: str = "PNG", size: tuple[int, int] = (160, 120)) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(fundus()).resize(size).save(stream, kind)
    return stream.getvalue()


def send(url: str, content: bytes | None, *repos: str, **members: str) -> requests.Response:
    data = [("q", one) for one in repos] + list(members.items())
    files = {} if content is None else {"photograph": ("secret-name.png", content)}
    return requests.post(f"{url}/apply", data=data, files=files or {"none": ""}, timeout=60)


def maps(html: str) -> dict:
    return json.loads(
        re.search(r'<script type="application/json" id="maps">(.+?)</script>', html)[1]
    )


def test_the_form_offers_the_queries_that_can_be_tried(url):
    html = requests.get(f"{url}/apply?q=lab/pair", timeout=20).text
    assert re.findall(r'value="(lab/\w+)"( checked)?', html) == [
        ("lab/pair", " checked"),
        ("lab/disc", ""),
        ("lab/grade", ""),
        ("lab/looks", ""),
    ]
    assert "lab/gated" not in html


def test_words_narrow_the_offer(url):
    html = requests.get(f"{url}/apply?words=spot-3&q=lab/disc", timeout=20).text
    assert re.findall(r'type="checkbox" name="q" value="([^"]+)"', html) == [
        "lab/disc",
        "many/spot-3",
    ]


def test_the_answer_shows_what_each_query_marks(url, root, tiny):
    content = photograph()
    answer = send(url, content, "lab/disc", "lab/pair")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert "secret-name" not in answer.text
    drawn = base64.b64decode(re.search(r'<img src="data:image/jpeg;base64,([^"]+)', answer.text)[1])
    assert Image.open(io.BytesIO(drawn)).size == (160, 120)

    queries = [root / "lab/disc/1.0.0", root / "lab/pair/1.0.0"]
    found = Pipeline.from_pretrained(queries, backbone=tiny.backbone)(
        Image.open(io.BytesIO(content))
    )
    wanted = [*found["disc"].probability_at(160, 120), *found["pair"].probability_at(160, 120)]
    given = maps(answer.text)
    assert (given["width"], given["height"], len(given["layers"])) == (160, 120, 3)
    for layer, probability in zip(given["layers"], wanted, strict=True):
        level = np.frombuffer(zlib.decompress(base64.b64decode(layer["level"])), np.uint8)
        assert np.abs(level.reshape(120, 160) - probability * 255).max() <= 0.51
    assert len({layer["colour"] for layer in given["layers"]}) == 3
    for one in found.values():
        for mask in one.mask_at(392, 392):
            assert f"{mask.mean():.2%}".replace("%", "\u00a0%") in answer.text


def test_a_large_photograph_comes_back_smaller(url):
    given = maps(send(url, photograph("JPEG", (3000, 2000)), "lab/disc").text)
    assert (given["width"], given["height"]) == (1024, 683)


def test_the_example_can_be_taken_instead(url):
    answer = send(url, None, "lab/disc", example="1")
    assert answer.status_code == 200
    assert "the example photograph, 1411" in answer.text


@pytest.mark.parametrize(
    ("content", "status", "line"),
    [
        (None, 400, "No photograph was chosen"),
        (b"", 400, "No photograph was chosen"),
        (b"GIF89a" + bytes(50), 415, "is no PNG, JPEG, TIFF or BMP image"),
        (b"<svg onload=alert(1)>", 415, "is no PNG, JPEG, TIFF or BMP image"),
        (photograph()[:800], 400, "cannot be decoded"),
        (b"\xff\xd8\xff\xe0" + bytes(100), 400, "photograph"),
    ],
)
def test_a_photograph_that_cannot_be_used_gets_a_plain_line(url, content, status, line):
    answer = send(url, content, "lab/disc")
    assert answer.status_code == status
    assert line in answer.text
    assert 'value="lab/disc" checked' in answer.text
    assert "Traceback" not in answer.text


def test_a_photograph_with_too_many_pixels_is_not_decoded(url):
    header = photograph()[:16] + (60_000).to_bytes(4, "big") * 2 + photograph()[24:]
    answer = send(url, header, "lab/disc")
    assert answer.status_code == 400
    assert "photograph" in answer.text


def test_a_file_that_is_too_large_gets_an_answer(url):
    answer = send(url, bytes(MAX_BYTES), "lab/disc")
    assert answer.status_code == 413
    assert "The photograph&#39;s file is larger than 40 MB" in answer.text


@pytest.mark.parametrize(
    ("repos", "line"),
    [
        ((), "no query is chosen"),
        (("lab/gated",), "no query is chosen"),
        (("lab/none", "../../etc", "x"), "no query is chosen"),
        (
            tuple(f"many/spot-{n}" for n in range(MAX_QUERIES + 1)),
            "9 queries are chosen, at most 8",
        ),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(url, repos, line):
    answer = send(url, photograph(), *repos)
    assert answer.status_code == 400
    assert line.lower() in answer.text.lower()


def test_what_is_no_form_is_refused(url):
    answer = requests.post(f"{url}/apply", json={"q": "lab/disc"}, timeout=20)
    assert answer.status_code == 415
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = requests.post(f"{url}/apply", data=b"--x\r\nnonsense", headers=headers, timeout=20)
    assert answer.status_code == 400


def test_when_all_places_are_taken_one_is_asked_to_come_again(url, bench):
    with bench.place():
        answer = send(url, photograph(), "lab/disc")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "try again in a moment" in answer.text
    assert send(url, photograph(), "lab/disc").status_code == 200


def test_one_who_hangs_up_leaves_the_place_free(url, bench):
    head = (
        "POST /apply HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
    )
    host, _, port = url.removeprefix("http://").partition(":")
    for _ in range(3):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head.encode())
            wait_until(lambda: bench.taken == 1)
        wait_until(lambda: bench.taken == 0)
    assert send(url, photograph(), "lab/disc").status_code == 200


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_backbone_that_is_asked_for_is_offered(url):
    html = requests.get(f"{url}/apply?backbone=retfound-green&q=lab/disc", timeout=20).text
    assert "no query here that can be tried" in html


def test_a_backbone_that_cannot_be_had_is_named(url, registry_folder):
    spec = backbone_spec("tiny-vit")
    Path(spec.sources[0].path).rename(registry_folder / "away")
    try:
        answer = send(url, photograph(), "lab/disc")
    finally:
        (registry_folder / "away").rename(spec.sources[0].path)
    assert answer.status_code in (400, 503)
    assert "tiny" in answer.text and "Traceback" not in answer.text


def test_places_are_given_back_after_a_failure(bench):
    for _ in range(2):
        with pytest.raises(UsageError), bench.place():
            bench.apply([], Image.new("RGB", (8, 8)))
    with bench.place(), pytest.raises(Full), bench.place():
        pass


def test_photographs_are_worked_on_one_after_the_other(shelf, registry_folder, cache):
    bench = Bench(shelf, places=4)
    items = [shelf.exhibit("lab/disc").item]
    image = Image.fromarray(fundus())
    areas: list[float] = []
    at_work: list[threading.Thread] = []

    def work() -> None:
        with bench.turn():
            at_work.append(threading.current_thread())
            areas.append(bench.apply(items, image)["lab/disc"].area)
            assert at_work == [threading.current_thread()]
            at_work.clear()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(set(areas)) == 1 and len(areas) == 4


def test_nothing_is_left_on_the_disk(url, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    assert send(url, photograph("BMP", (1600, 1200)), "lab/disc").status_code == 200
    assert list((tmp_path / "scratch").iterdir()) == []


def test_gradings_are_shown_beside_masks_and_alone(url):
    answer = send(url, photograph(), "lab/disc", "lab/grade", "lab/looks")
    assert answer.status_code == 200
    assert len(maps(answer.text)["layers"]) == 1
    assert answer.text.count('<section class="told"') == 2
    assert answer.text.count('<svg class="share') == 5 + 3
    assert answer.text.count("Where it looked") == 1
    alone = send(url, photograph(), "lab/grade").text
    assert "What was said" in alone
    assert 'id="maps"' not in alone
    assert 'id="published"' not in alone
    assert re.search(r"[A-Z][a-z ]+, with a probability of 0\.\d{3}\.", alone)
