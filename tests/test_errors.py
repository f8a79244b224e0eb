import errno
import os
from pathlib import Path

import pytest
from support_core import assert_clear

from retq_hub import errors
from retq_hub.errors import (
    CheckFailed,
    DigestMismatch,
    Finding,
    ManifestError,
    RetqError,
    StorageError,
    storage_errors,
)

EXIT_CODES = {
    "RetqError": 1,
    "CheckFailed": 1,
    "UsageError": 2,
    "NotFoundError": 3,
    "IntegrityError": 4,
    "DigestMismatch": 4,
    "CheckpointError": 4,
    "BackboneMismatch": 4,
    "EngineDrift": 4,
    "NetworkError": 5,
    "Unreachable": 5,
    "BadInputError": 6,
    "ImageError": 6,
    "MaskError": 6,
    "DatasetError": 6,
    "ManifestError": 6,
    "StorageError": 7,
}


def test_every_error_has_the_exit_code_that_is_documented():
    kinds = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, RetqError)
    }
    assert {name: kind.exit_code for name, kind in kinds.items()} == EXIT_CODES


@pytest.mark.parametrize("name", EXIT_CODES)
def test_the_tree_in_the_docstring_names(name: str):
    tree = errors.__doc__ or ""
    line = next(line for line in tree.splitlines() if name in line.split())
    assert str(EXIT_CODES[name]) in line.split()


def test_a_message_ends_with_the_next_step():
    assert str(RetqError("found this", hint="do that")) == "found this; do that"
    assert str(RetqError("found this")) == "found this"


def test_a_digest_mismatch_shows_both_digests():
    error = DigestMismatch("file", expected="e" * 64, actual="a" * 64, hint="get it again")
    assert_clear(error, 4, "file", "e" * 64, "a" * 64)
    assert (error.expected, error.actual) == ("e" * 64, "a" * 64)


@pytest.mark.parametrize("kind", [CheckFailed, ManifestError])
def test_findings_are_counted_and_all_named(kind: type[CheckFailed] | type[ManifestError]):
    found = [Finding(where="a/0", what="is one"), Finding(where="", what="is two")]
    error = kind("thing", found, hint="mend it")
    assert str(error) == "thing: 2 findings: a/0: is one; is two; mend it"
    assert error.findings == tuple(found)
    assert "1 finding:" in str(kind("thing", found[:1]))


@pytest.mark.parametrize("number", ["ENOSPC", "EROFS", "EACCES", "EPERM", "EDQUOT", "EFBIG"])
def test_a_refused_write_becomes_a_storage_error(number: str):
    code = getattr(errno, number)
    with pytest.raises(StorageError) as caught, storage_errors(Path("/some/where")):
        raise OSError(code, os.strerror(code))
    assert_clear(caught.value, 7, "/some/where", os.strerror(code))
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("other", [ValueError("no"), OSError(errno.ECONNRESET, "gone")])
def test_other_errors_pass_through_a_write(other: Exception):
    with pytest.raises(type(other)) as caught, storage_errors(Path("x")):
        raise other
    assert caught.value is other
