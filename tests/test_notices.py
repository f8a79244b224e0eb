"""What is said of versions after they were published."""

import json

import pytest

from retq_hub import notices
from retq_hub.errors import ManifestError


def test_a_folder_without_notices_has_none(tmp_path):
    assert notices.read(tmp_path) == notices.Notices()


def test_a_yank_is_noted_changed_and_taken_back(tmp_path):
    notices.yank(tmp_path, "a@1.0.0", "Wrong.")
    notices.yank(tmp_path, "b@1.0.0", "Too.")
    notices.yank(tmp_path, "a@1.0.0", "Very wrong.")
    assert notices.read(tmp_path).yanked == {"a@1.0.0": "Very wrong.", "b@1.0.0": "Too."}
    notices.yank(tmp_path, "a@1.0.0", None)
    assert notices.read(tmp_path).yanked == {"b@1.0.0": "Too."}


@pytest.mark.parametrize("reason", ["", "two\nlines", "x" * 201])
def test_a_reason_is_one_short_line(tmp_path, reason):
    with pytest.raises(ManifestError):
        notices.yank(tmp_path, "a@1.0.0", reason)
    assert not (tmp_path / "notices.json").exists()


@pytest.mark.parametrize(
    "document",
    [{}, {"spec": "retq-notices/1", "yanked": {"a": "why"}}, {"spec": "retq-notices/1", "x": 1}],
)
def test_broken_notices_are_refused(tmp_path, document):
    (tmp_path / "notices.json").write_text(json.dumps(document))
    with pytest.raises(ManifestError, match=r"notices\.json: 1 finding"):
        notices.read(tmp_path)
