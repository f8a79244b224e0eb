"""Indexes made to break what reads them, in a folder; `tests/test_site.py` has those from a URL."""

import json
import subprocess
import sys

import pytest
from records import many, record, write_index

from retq_hub import catalogue, index, stock
from retq_hub.errors import ManifestError, RetqError
from retq_hub.manifest import to_json

HEAD = '{"spec":"retq-index/1","records":['
ONE = json.dumps(to_json(record()), separators=(",", ":"))


def with_(**members: object) -> str:
    return f"{HEAD}\n{json.dumps(to_json(record()) | members)}\n]}}\n"


def said(old: str, new: str) -> str:
    assert old in ONE
    return f"{HEAD}\n{ONE.replace(old, new)}\n]}}\n"


TEXTS = {
    "nothing": "",
    "not JSON": "registry",
    "HTML": "<!doctype html><title>404</title>",
    "a list": "[]",
    "another kind": '{"spec":"retq-lock/1","records":[]}',
    "records that are none": HEAD + "1,[],null]}",
    "deep nesting": HEAD + "[" * 200_000 + "]" * 200_000 + "]}",
    "deep nesting in a record": said('"floats":32', '"floats":' + "[" * 200_000),
    "cut": with_()[:-40],
    "a huge integer": said('"floats":32', '"floats":' + "9" * 5000),
    "an infinite number": said('"floats":32', '"floats":32,"dice":1e999'),
    "NaN": said('"floats":32', '"floats":32,"dice":NaN'),
    "half a surrogate": said("Marks something.", "\\ud800"),
    "escape codes": with_(summary="\x1b]0;owned\x07"),
    "a path upwards": with_(path="../../etc"),
    "an absolute path": with_(path="/etc"),
    "a name that is a path": with_(name="../x"),
    "no place": with_(path=None),
    "supersedes itself": with_(superseded_by="some-disc@1.0.0"),
    "superseded by nothing known": with_(superseded_by="absent"),
    "near nothing known": with_(near=[{"name": "absent@1.0.0", "cosine": 1}]),
    "twice": f"{HEAD}\n{ONE},\n{ONE}\n]}}\n",
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_hostile_index_is_refused_in_one_line_by_whatever_reads_it(case, tmp_path, monkeypatch):
    (tmp_path / "index.json").write_text(TEXTS[case], encoding="utf-8", errors="surrogatepass")
    monkeypatch.setenv("RETQ_REGISTRY", str(tmp_path))
    for use in (stock.entries, lambda: stock.find("some-disc")):
        with pytest.raises(RetqError) as caught:
            use()
        assert caught.value.exit_code == 6
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 3000
    assert index.findings(tmp_path)


def test_an_index_that_is_not_utf_8_is_refused(tmp_path):
    (tmp_path / "index.json").write_bytes(b'{"spec":"retq-index/1","records":["\xff\xfe"]}')
    with pytest.raises(ManifestError):
        catalogue.read(tmp_path / "index.json")


def test_a_folder_or_a_huge_file_in_the_place_of_an_index_is_refused(tmp_path):
    (tmp_path / "index.json").mkdir()
    with pytest.raises(ManifestError, match="cannot be read"):
        catalogue.read(tmp_path / "index.json")
    with (tmp_path / "huge.json").open("wb") as stream:
        stream.truncate(catalogue.MAX_BYTES + 1)
    with pytest.raises(ManifestError, match="is larger than 128 MiB"):
        catalogue.read(tmp_path / "huge.json")


def test_a_large_index_with_hostile_names_and_order_is_named_by_check(tmp_path):
    lines = write_index(tmp_path, many(4000)).read_text().splitlines(keepends=True)
    lines[1], lines[2] = lines[2], lines[1]
    (tmp_path / "index.json").write_text("".join(lines))
    with pytest.raises(ManifestError, match="names and versions are sorted"):
        catalogue.read(tmp_path / "index.json").check()


BOMB = """
import re, sys
from pathlib import Path
from retq_hub import catalogue, errors
try:
    found = catalogue.read(Path(sys.argv[1]))
    found.named("some-disc")
    found.check()
except errors.ManifestError as error:
    print(len(str(error)))
status = Path("/proc/self/status").read_text()
print(int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("filler", ["1,", "1,\n", '{"name":"a"},\n'])
def test_many_tiny_records_take_no_memory_beyond_the_file(filler, tmp_path):
    path = tmp_path / "index.json"
    count = 100 * 2**20 // len(filler)
    with path.open("w") as stream:
        stream.write(HEAD + "\n")
        for _ in range(count // 100_000):
            stream.write(filler * 100_000)
        stream.write("1\n]}\n")
    command = [sys.executable, "-c", BOMB, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    path.unlink()
    message, mb = map(int, done.stdout.split())
    assert message < 3000
    assert mb < 300
