"""A lock where it lies: files, folders of composed pipelines, repositories; and what they hold."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from lockers import code_of

from retq_hub import artifact, assembly, composition, handwriting, metadata
from retq_hub.errors import ManifestError, NotFoundError, UsageError
from retq_hub.lock import FILE


@pytest.fixture
def home(tmp_path, monkeypatch, cache, registry_folder) -> Path:
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def composed(folder="set", *queries, **changes):
    options = {"name": "clinic-set", "version": "1.0.0", "summary": "What we use.", **changes}
    return assembly.compose(queries or ("tiny-disc", "tiny-spot"), Path(folder), **options)


def test_a_lock_is_found_by_file_and_by_folder(home, monkeypatch):
    plain = assembly.lock(["tiny-disc"], home / "my.lock")
    for name in ("my.lock", "./my.lock", str(home / "my.lock"), Path("my.lock")):
        assert composition.locate(name).lock == plain
    shared = composed()
    for name in ("set", "./set", str(home / "set"), Path("set"), "set/retq.lock"):
        found = composition.locate(name)
        assert found.lock == shared
        assert found.base.resolve() == home / "set"
    monkeypatch.setenv("HOME", str(home))
    assert composition.locate("~/set").lock == shared


def test_a_file_of_any_name_is_a_lock_where_a_lock_is_asked_for(home):
    lock = assembly.lock(["tiny-disc"], home / "pins.json")
    assert composition.locate("pins.json").lock == lock


@pytest.mark.parametrize("name", ["retq.lock", "no/retq.lock", "./none", "none", "/no/where", "."])
def test_where_there_is_no_lock_it_is_not_found(home, name):
    with pytest.raises(NotFoundError) as caught:
        composition.locate(name)
    assert code_of(caught.value) == 3


def test_a_name_that_may_be_a_querys_is_a_locks_only_if_it_leads_to_one(home, make_query):
    assembly.lock(["tiny-disc"], home / "my.lock")
    composed("some/set")
    make_query(home / "some/query")
    assert composition.path_of("my.lock") == Path("my.lock")
    assert composition.path_of("./some/set") == composition.path_of("some/set")
    assert composition.path_of("some/set") == Path("some/set/retq.lock")
    for name in ("tiny-disc", "some/query", "other.lock", "some", "someone/set", "./some"):
        assert composition.path_of(name) is None
    (home / "some/query" / FILE).write_text("{}")
    assert composition.path_of("some/query") is None


def test_the_same_pipeline_is_the_same_bytes_wherever_it_lies(home):
    assert composed("a") == composed("deeply/b")
    for name in (FILE, artifact.CARD):
        assert (home / "a" / name).read_bytes() == (home / "deeply/b" / name).read_bytes()


def test_what_people_wrote_in_the_card_survives(home):
    composed()
    path = home / "set" / artifact.CARD
    head = "license: cc0-1.0\n"
    text = path.read_text()
    assert head in text
    path.write_text(
        text.replace(head, head + "new_version: a/b\n").replace(
            "<!-- retq: notes -->\n", "<!-- retq: notes -->\nTried on 12 eyes.\n"
        )
    )
    composed(version="1.1.0")
    card = path.read_text()
    assert "Tried on 12 eyes." in card
    assert "new_version: a/b" in card
    assert "This is version 1.1.0" in card
    assert sorted(one.name for one in (home / "set").iterdir()) == [artifact.CARD, FILE]
    path.write_text(card.replace("## Members", "## Our members"))
    composed(version="1.2.0")
    assert "## Our members" in (home / "set/README.old.md").read_text()


def test_its_card_lists_its_members(home):
    composed()
    card = (home / "set" / artifact.CARD).read_text()
    for row in (
        "| `tiny-disc` | 1.9.0 | target 0 | Dice 0.5000 (nothing, test) | CC0-1.0 | registry |",
        "| `tiny-spot` | 0.1.0 | target 0 | Dice 0.5000 (nothing, test) | CC0-1.0 | registry |",
    ):
        assert row in card
    assert "commercial use allowed" in card
    assert card.count("not a medical device") == 1


def test_its_summary_is_made_where_none_is_given(home):
    assert composed(summary=None).summary == "On one backbone, tiny-vit: tiny-disc, tiny-spot."


@pytest.mark.parametrize(
    "changes", [{"name": "Clinic Set"}, {"version": "1"}, {"summary": "two\nlines"}, {"name": ""}]
)
def test_a_bad_name_version_or_summary_is_refused_before_anything_is_written(home, changes):
    with pytest.raises(ManifestError, match=next(iter(changes))):
        composed(**changes)
    assert not (home / "set").exists()


def test_nothing_else_is_overwritten(home, make_query):
    make_query(home / "query")
    with pytest.raises(UsageError, match="holds a query"):
        composed("query")
    for name in ("notes.txt", "other.json", "folder"):
        path = home / name
        path.mkdir() if name == "folder" else path.write_text('{"spec": "retq-query/1"}')
        with pytest.raises(UsageError, match="not overwritten"):
            assembly.lock(["tiny-disc"], path)
    assembly.lock(["tiny-disc"], home / "my.lock")
    assembly.lock(["tiny-spot"], home / "my.lock")
    assert composition.locate("my.lock").lock.queries[0].name == "tiny-spot"


def test_findings_of_a_shared_pipeline(home):
    composed()
    assert composition.findings(home / "set") == []
    (home / "set" / artifact.CARD).unlink()
    assert [one.where for one in composition.findings(home / "set")] == [artifact.CARD]
    assembly.lock(["tiny-disc"], home / "plain/retq.lock")
    assert [one.where for one in composition.findings(home / "plain")] == [FILE, artifact.CARD]
    (home / "set" / FILE).write_text("{}")
    assert "required property" in composition.findings(home / "set")[0].what
    with pytest.raises(NotFoundError):
        composition.findings(home)


def test_a_killed_run_leaves_a_whole_lock(home):
    composed()
    code = (
        "from pathlib import Path\n"
        "from retq_hub import assembly\n"
        "for number in range(100000):\n"
        "    assembly.compose(['tiny-disc'], Path('set'), name='n', version=f'2.0.{number}')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=home)
    try:
        seen: set[str | None] = set()
        until = time.monotonic() + 60
        while len(seen) < 8 and process.poll() is None and time.monotonic() < until:
            seen.add(composition.locate("set").lock.version)
    finally:
        process.kill()
        process.wait()
    assert len(seen) == 8
    assert composition.locate("set").lock.name == "n"


def test_the_head_of_its_card_is_that_of_a_pipeline(home):
    composed()
    text = (home / "set" / artifact.CARD).read_text()
    head = metadata.from_yaml(text.split("---\n")[1])
    assert head is not None
    assert head["library_name"] == "retq"
    assert {"retq", "retq-pipeline", "target:t0"} <= set(head["tags"])
    assert "query-vector" not in head["tags"]
    assert head["license"] == "cc0-1.0"
    assert not handwriting.read(text).elsewhere
