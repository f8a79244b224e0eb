"""Which engines there are here, and what is refused in one line."""

import subprocess
import sys

import pytest

from retq_hub.engines import hardware
from retq_hub.engines.choice import PLAIN, Choice, candidates, offers
from retq_hub.errors import UsageError


def test_plain_is_taken_by_its_word():
    assert candidates("torch", "float32") == [PLAIN]


def test_auto_offers_all_that_is_here():
    found = candidates("auto", "auto")
    assert PLAIN in found
    assert {one.engine for one in found} == {"torch", "openvino", "onnx"}
    halves = {one.engine for one in found if one.precision == "bfloat16" and one.device == "cpu"}
    assert halves == ({"torch", "openvino"} if hardware.cpu_has_bfloat16() else set())


def test_one_engine_or_one_precision_narrows_it():
    assert {one.engine for one in candidates("openvino", "auto")} == {"openvino"}
    assert {one.precision for one in candidates("auto", "float32")} == {"float32"}
    assert candidates("onnx", "auto") == [Choice(engine="onnx", precision="float32")]


@pytest.mark.parametrize(
    ("engine", "precision", "line"),
    [
        ("onnx", "bfloat16", "the engine onnx computes in float32, not in bfloat16"),
        ("auto", "int8", "int8 is not offered"),
        ("openvino", "float16", "float16 needs the engine torch and a GPU"),
        ("tensorrt", "auto", "there is no engine 'tensorrt'; one of auto, torch, openvino, onnx"),
        ("auto", "float8", "there is no precision 'float8'"),
    ],
)
def test_what_is_not_to_be_had_is_refused(engine: str, precision: str, line: str):
    with pytest.raises(UsageError, match=line):
        candidates(engine, precision)


def test_all_engines_are_told_of_without_torch():
    script = (
        "import sys; from retq_hub.engines.choice import offers; "
        "print([one.engine for one in offers()], 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['torch', 'openvino', 'onnx'] False"
    assert all(one.version and "float32" in one.precisions for one in offers())


WITHOUT = """
from importlib import metadata
real = metadata.version
def version(name):
    if name == "{package}":
        raise metadata.PackageNotFoundError(name)
    return real(name)
metadata.version = version
from retq_hub.engines.choice import candidates
from retq_hub.errors import UsageError
try:
    candidates("{engine}", "float32")
except UsageError as error:
    print(error)
"""


@pytest.mark.parametrize(("engine", "package"), [("openvino", "openvino"), ("onnx", "onnxruntime")])
def test_an_engine_that_is_not_installed_is_named_with_its_extra(engine: str, package: str):
    script = WITHOUT.format(engine=engine, package=package)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == (
        f'the engine {engine} is not installed; pip install "retq-hub[{engine}]"'
    )


def test_a_machine_is_named_by_what_decides_speed():
    found = hardware.machine()
    assert found == hardware.machine()
    assert found["cpu"]
    assert {"torch", "openvino", "onnxruntime"} <= set(found["packages"])
    assert hardware.package("no-such-package") is None
