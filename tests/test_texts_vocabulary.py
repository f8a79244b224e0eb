"""Vocabularies: a folder of the user's, or fetched once and verified each time."""

from dataclasses import replace

import pytest
from servers import FileServer

from retq_hub import registry
from retq_hub.digest import bytes_digest
from retq_hub.errors import DigestMismatch, NetworkError, NotFoundError
from retq_hub.progress import Silent
from retq_hub.spec import BackboneSpec, Source, TextSpec
from retq_hub.texts import vocabulary

WORDS = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n"


@pytest.fixture
def spec() -> BackboneSpec:
    return registry.backbone_spec("flair")


def served(spec: BackboneSpec, files: FileServer, sha256: str | None) -> TextSpec:
    files.files["/vocab.txt"] = WORDS
    source = Source(kind="url", url=f"{files.root}/vocab.txt", sha256=sha256)
    assert spec.text is not None
    return replace(spec.text, tokenizer=replace(spec.text.tokenizer, sources=(source,)))


def test_it_is_fetched_once_and_made_anew_where_it_was_changed(spec, files, cache):
    text = served(spec, files, bytes_digest(WORDS))
    for _ in range(2):
        path = vocabulary.find(spec, text, folder=None, progress=Silent())
        assert path.read_bytes() == WORDS
        assert path.name == "vocab.txt"
    assert len(files.log) == 1
    path.write_bytes(b"changed")
    assert vocabulary.find(spec, text, folder=None, progress=Silent()).read_bytes() == WORDS
    assert len(files.log) == 2


def test_another_file_is_not_kept(spec, files, cache):
    text = served(spec, files, "0" * 64)
    with pytest.raises(DigestMismatch):
        vocabulary.find(spec, text, folder=None, progress=Silent())
    assert not (cache / "tokenizers").exists()


def test_a_source_that_does_not_deliver(spec, files, cache):
    text = served(spec, files, "0" * 64)
    files.statuses["/vocab.txt"] = 404
    with pytest.raises(NetworkError, match="answered 404"):
        vocabulary.find(spec, text, folder=None, progress=Silent())


def test_without_a_digest_it_is_not_fetched(spec, files, cache):
    text = served(spec, files, None)
    with pytest.raises(NotFoundError) as caught:
        vocabulary.find(spec, text, folder=None, progress=Silent())
    assert caught.value.found == (
        "the vocabulary of flair's text encoder is not fetched: no digest of "
        f"{files.root}/vocab.txt is known"
    )
    assert caught.value.hint == (
        f"get {files.root}/vocab.txt, then name its folder: --tokenizer DIR"
    )
    assert files.log == []


def test_a_folder_of_ones_own(spec, tmp_path):
    assert spec.text is not None
    with pytest.raises(
        NotFoundError, match=r"has no vocab\.txt, the vocabulary of Bio_Clinical"
    ) as e:
        vocabulary.find(spec, spec.text, folder=tmp_path, progress=Silent())
    assert e.value.hint == (
        "`hf download emilyalsentzer/Bio_ClinicalBERT vocab.txt --local-dir DIR`"
    )
    (tmp_path / "vocab.txt").write_bytes(WORDS)
    found = vocabulary.find(spec, spec.text, folder=tmp_path, progress=Silent())
    assert found == tmp_path / "vocab.txt"
