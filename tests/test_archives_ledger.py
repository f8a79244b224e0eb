import json
from pathlib import Path

import pytest

from retq_hub.archives.ledger import FILE, Ledger, held, read_ledger
from retq_hub.errors import BadInputError, UsageError


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(
        queries={"disc": "a" * 64},
        backbone="tiny",
        weights_digest="b",
        preprocessing_digest="c",
        engine="torch float32",
        masks=True,
        embeddings=False,
    )


def test_what_was_written_is_read(ledger: Ledger, tmp_path: Path) -> None:
    assert read_ledger(tmp_path) is None
    ledger.check(tmp_path)
    ledger.write(tmp_path)
    assert read_ledger(tmp_path) == ledger
    ledger.check(tmp_path)


@pytest.mark.parametrize(
    ("member", "value", "word"),
    [
        ("weights_digest", "other", r"weights tiny \(other\) there, tiny \(b\) here"),
        ("preprocessing_digest", "other", "preprocessing other there, c here"),
        ("engine", "openvino bfloat16", "engine openvino bfloat16 there, torch float32 here"),
        ("embeddings", True, "run: embeddings kept there, left out here"),
    ],
)
def test_what_differs_is_named(
    member: str, value: object, word: str, ledger: Ledger, tmp_path: Path
) -> None:
    ledger.write(tmp_path)
    document = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(document | {member: value}))
    with pytest.raises(UsageError, match=word):
        ledger.check(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "is no ledger"), ('{"format": 1}', "is no ledger")],
)
def test_a_broken_ledger_is_one_line(text: str, said: str, ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(BadInputError, match=said):
        ledger.check(tmp_path)


def test_a_ledger_of_a_later_format_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    ledger.write(tmp_path)
    text = (tmp_path / FILE).read_text()
    (tmp_path / FILE).write_text(text.replace("retq-archive/1", "retq-archive/9"))
    with pytest.raises(BadInputError, match="update retq-hub"):
        ledger.check(tmp_path)


def test_two_runs_do_not_work_in_one_folder(tmp_path: Path) -> None:
    with (
        held(tmp_path / "out"),
        pytest.raises(UsageError, match="another run is at work"),
        held(tmp_path / "out"),
    ):
        pass
    with held(tmp_path / "out"):
        pass
