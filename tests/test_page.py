"""Every page: it says what it is, loads nothing and runs nothing."""

from pathlib import Path

import pytest

from retq_hub.errors import StorageError
from retq_hub.page import write_page

HOSTILE = "<script>alert('x')</script>"


def test_a_page_has_its_titles_as_text_and_its_policy(tmp_path: Path):
    path = tmp_path / "new" / "page.html"
    write_page(path, title=HOSTILE, subtitle=HOSTILE, sections=["<p>one</p>", "<p>two</p>"])
    text = path.read_text()
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 3
    assert text.index("<p>one</p>") < text.index("<p>two</p>")
    assert "default-src 'none'" in text
    assert text.count("not a medical device") == 1


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_page(tmp_path / "file" / "page.html", title="", subtitle="", sections=[])
