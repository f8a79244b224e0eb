"""Names, indexes and artifacts that try to leave their place, or to break what reads them."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retq_hub import artifact, registry, stock
from retq_hub.errors import NotFoundError, RetqError, UsageError
from retq_hub.storage import write_json

MANY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TRAVERSALS = [
    "tiny-disc/../x",
    "tiny-disc/../../tiny-spot",
    "tiny-disc@../1.0.0",
    "tiny-disc@1.0.0/..",
    "..%2ftiny-disc",
    "tiny-disc%2f..",
    "tiny-disc\\..\\x",
    "tiny-disc\x00",
    "tiny-disc\n",
    "tiny-disc@1.0.0\n",
    "x" * 5000,
    "./" + "x" * 5000,
    "//tiny-disc",
    "~nobody-here/tiny-disc",
]


@pytest.mark.parametrize("name", TRAVERSALS, ids=lambda name: repr(name)[:24])
def test_a_name_cannot_leave_the_registry(registry_folder, cache, name):
    with pytest.raises((UsageError, NotFoundError)) as caught:
        registry.pull(name)
    assert "\n" not in str(caught.value)
    assert not cache.exists()


@MANY
@given(name=st.text(max_size=60) | st.from_regex(r"[a-z.~/@-]{0,20}", fullmatch=True))
def test_any_text_is_a_name_or_a_clear_error(registry_folder, name):
    for resolve in (registry.locate, stock.find, registry.backbone_spec):
        try:
            resolve(name)
        except RetqError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("path", ["../elsewhere", "queries/../../elsewhere", "/etc", "a/..", "~"])
def test_an_index_cannot_point_out_of_its_registry(registry_folder, make_query, path):
    elsewhere = make_query(registry_folder.parent / "elsewhere")
    document = json.loads((registry_folder / "index.json").read_text())
    document["records"][0] |= {"path": path, "digest": artifact.read_manifest(elsewhere).digest}
    write_json(registry_folder / "index.json", document)
    with pytest.raises(RetqError):
        registry.locate("tiny-disc@1.0.0")


def test_an_index_cannot_pass_one_query_off_as_another(registry_folder):
    document = json.loads((registry_folder / "index.json").read_text())
    document["records"][0] |= {
        member: document["records"][3][member] for member in ("path", "digest")
    }
    write_json(registry_folder / "index.json", document)
    with pytest.raises(RetqError, match="tiny-spot"):
        registry.locate("tiny-disc@1.0.0")


NUMBERS = {
    "a seed beyond 64 bits": ('"seed": 0', f'"seed": {2**70}'),
    "a seed beyond what JSON keeps": ('"seed": 0', f'"seed": {2**60}'),
    "an infinite weight": ('"l2": 0.0', '"l2": 1e999'),
    "a weight that is no number": ('"l2": 0.0', '"l2": NaN'),
    "half a surrogate": ('"authors": [\n    "Nobody"', '"authors": [\n    "\\ud800"'),
    "a name with a line break": ('"name": "tiny-disc"', '"name": "tiny-disc\\n"'),
    "a name twice": ('"name": "tiny-disc"', '"name": "tiny-disc", "name": "../../x"'),
    "brackets without end": ('"seed": 0', '"seed": ' + "[" * 100_000),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_a_manifest_that_json_cannot_keep_is_refused_everywhere(make_query, tmp_path, cache, case):
    folder = make_query(tmp_path / "mine")
    before, after = NUMBERS[case]
    text = (folder / artifact.MANIFEST).read_text()
    assert before in text
    (folder / artifact.MANIFEST).write_text(text.replace(before, after))
    with pytest.raises(RetqError):
        registry.pull(str(folder))
    assert artifact.findings(folder) != []
    assert not (cache / "queries").exists()


@pytest.mark.parametrize("name", [artifact.MANIFEST, artifact.QUERY, artifact.GOLDEN])
def test_a_folder_in_the_place_of_a_file_is_refused(make_query, tmp_path, name):
    folder = make_query(tmp_path / "mine")
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(RetqError):
        artifact.read(folder)
