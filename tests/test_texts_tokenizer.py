"""Prompts become the numbers that upstream's tokenizers give."""

import gzip
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import transformers

from retq_hub import registry
from retq_hub.errors import BadInputError, DigestMismatch, UsageError
from retq_hub.spec import TextSpec
from retq_hub.texts.tokenizer import Tokenizer

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "hard", "Hard", "ex", "##uda", "##tes", ",", "."]
MERGES = ["h a", "r d</w>", "ha rd</w>", "e x", "u d", "a t", "ex ud", "exud at", "e s</w>"]


def wordpiece(folder: Path, *, tokens: Sequence[str] = TOKENS, **changes: object) -> Tokenizer:
    text = _spec("flair", len(tokens))
    path = folder / "vocab.txt"
    path.write_text("\n".join(tokens) + "\n")
    return Tokenizer(replace(text, **changes), path)


def bpe(path: Path, *, merges: Sequence[str] = MERGES, max_tokens: int = 77) -> Tokenizer:
    text = replace(_spec("clip-vit-b16", 514 + len(merges)), max_tokens=max_tokens)
    data = "\n".join(["#version: 0.2", *merges, ""]).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return Tokenizer(text, path)


def _spec(backbone: str, size: int) -> TextSpec:
    text = registry.backbone_spec(backbone).text
    assert text is not None
    tokenizer = replace(text.tokenizer, digest=None)
    return replace(text, config=text.config | {"vocab_size": size}, tokenizer=tokenizer)


def test_wordpiece_is_berts(tmp_path):
    ours = wordpiece(tmp_path)
    theirs = transformers.BertTokenizer(vocab=dict(zip(TOKENS, range(99), strict=False)))
    prompts = ["A hard, Hard exudates.", "exudates", "naïve Härd\texudates\n", "  "]
    found = ours(prompts)
    wanted = theirs(prompts, padding=True)
    assert [list(one) for one in found.ids] == wanted["input_ids"]
    assert [list(one) for one in found.mask] == wanted["attention_mask"]
    assert found.ids[1][:6] == (2, 7, 8, 9, 3, 0)


def test_wordpiece_keeps_case_where_the_spec_says_so(tmp_path):
    tokenizer = replace(_spec("flair", 12).tokenizer, lowercase=False)
    assert wordpiece(tmp_path, tokenizer=tokenizer)(["Hard"]).ids == ((2, 6, 3),)
    assert wordpiece(tmp_path)(["Hard"]).ids == ((2, 5, 3),)


def test_byte_pairs_are_clips(tmp_path):
    ours = bpe(tmp_path / "merges.txt")
    letters = [*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 256 + 68)]
    tokens = [chr(one) for one in letters]
    tokens += [one + "</w>" for one in tokens] + [merge.replace(" ", "") for merge in MERGES]
    vocabulary = {one: n for n, one in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    pairs = [tuple(merge.split()) for merge in MERGES]
    theirs = transformers.CLIPTokenizer(vocab=vocabulary, merges=pairs)
    for prompt in ("a photo of a hard exudates.", "Hard   EXUDATES", "it's 50 µm", "網膜 é"):
        assert list(ours([prompt]).ids[0]) == theirs(prompt)["input_ids"], prompt


def test_rows_are_padded_to_the_longest(tmp_path):
    found = bpe(tmp_path / "merges.txt")(["hard", "hard exudates"])
    end = 514 + len(MERGES) - 1
    assert found.ids[0][:3] == (end - 1, 514, end)
    assert found.mask[0] == (1, 1, 1, 0, 0)
    assert len(found.ids[1]) == sum(found.mask[1]) == 5


def test_the_digest_is_of_the_vocabulary_not_of_its_file(tmp_path):
    plain = bpe(tmp_path / "merges.txt")
    packed = bpe(tmp_path / "bpe_simple_vocab_16e6.txt.gz")
    assert plain.digest == packed.digest
    assert bpe(tmp_path / "merges.txt", merges=MERGES[:-1]).digest != plain.digest
    first = wordpiece(tmp_path)
    path = tmp_path / "vocab.txt"
    path.write_bytes("\r\n".join(TOKENS).encode())
    assert Tokenizer(_spec("flair", len(TOKENS)), path).digest == first.digest


def test_another_vocabulary_than_the_pinned_one_is_refused(tmp_path):
    tokenizer = replace(_spec("flair", 12).tokenizer, digest="0" * 64)
    with pytest.raises(DigestMismatch, match=r"vocab\.txt has digest .* expected 0000"):
        wordpiece(tmp_path, tokenizer=tokenizer)


def test_a_long_prompt_is_counted(tmp_path):
    tokenizer = bpe(tmp_path / "merges.txt", max_tokens=5)
    assert len(tokenizer(["hard exudates"]).ids[0]) == 5
    with pytest.raises(UsageError) as caught:
        tokenizer(["hard", "hard hard exudates"])
    assert caught.value.found == (
        "the prompt 'hard hard exudates' has 6 tokens, at most 5 fit, begin and end counted"
    )


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("vocab.txt", b"\n".join(str(n).encode() for n in range(12)), "it lacks .PAD., .UNK."),
        ("vocab.txt", b"[PAD]\n[UNK]\n", r"makes 2 tokens, .*Bio_ClinicalBERT.* has 12"),
        ("vocab.txt", b"\xff\xfe", "no text in UTF-8"),
        ("vocab.txt.gz", b"none", "no gzip file"),
        ("vocab.txt.gz", gzip.compress(b"[PAD]\n" * 99, mtime=0)[:20], "cut short"),
    ],
)
def test_what_is_no_vocabulary_is_refused(name, data, message, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadInputError, match=message):
        Tokenizer(_spec("flair", 12), tmp_path / name)


@pytest.mark.parametrize("line", ["h", "h a t", "zz qq", ""])
def test_a_line_that_is_no_merge_is_refused(line, tmp_path):
    with pytest.raises(BadInputError, match="has a line that is no merge"):
        bpe(tmp_path / "merges.txt", merges=[line, *MERGES])
