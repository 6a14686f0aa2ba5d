"""The authors' Caffe models."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from safetensors.numpy import save_file
from weights import peers
from weights.writers import caffe_model

from senet_jax.models import create_model
from senet_jax.weights import load_weights
from senet_jax.weights.caffe import is_caffe, to_state_dict
from senet_jax.weights.names import namings, tensor_names

VALUES = np.arange(24, dtype=np.float32)


def test_blobs():
    blobs = {
        "conv1/0": VALUES.reshape(2, 3, 2, 2),
        "conv1/bn/0": VALUES[:2],
        "conv1/bn/1": VALUES[2:4].reshape(1, 1, 1, 2),
        "conv1/bn/2": np.float32([[[[4]]]]),
        "untrained/bn/0": VALUES[1:3],
        "untrained/bn/1": VALUES[1:3],
        "untrained/bn/2": np.float32([0]),
        "conv1/bn/scale/0": VALUES[:2].reshape(1, 1, 1, 2),
        "conv1/bn/scale/1": VALUES[2:4],
        "down/0": VALUES[:8].reshape(2, 4, 1, 1),
        "down/1": VALUES[:2].reshape(1, 1, 1, 2),
        "classifier/0": VALUES[:6].reshape(1, 1, 2, 3),
        "classifier/1": VALUES[:2].reshape(1, 1, 1, 2),
    }
    assert is_caffe(blobs)
    state = to_state_dict(blobs)
    expected = {
        "conv1.weight": VALUES.reshape(2, 3, 2, 2)[:, [2, 1, 0]],
        "conv1/bn.running_mean": VALUES[:2] / 4,
        "conv1/bn.running_var": VALUES[2:4] / 4,
        "untrained/bn.running_mean": np.zeros(2),
        "untrained/bn.running_var": np.zeros(2),
        "conv1/bn.weight": VALUES[:2],
        "conv1/bn.bias": VALUES[2:4],
        "down.weight": VALUES[:8].reshape(2, 4, 1, 1),
        "down.bias": VALUES[:2],
        "classifier.weight": VALUES[:6].reshape(2, 3),
        "classifier.bias": VALUES[:2],
    }
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(state[name], value, name)
        assert state[name].dtype == np.float32


def test_classes():
    """The first of the authors' classes is a kit fox, the 490th a sea snake: 278 and 65 in the usual order."""
    state = to_state_dict({"classifier/0": np.eye(1000, dtype=np.float32), "classifier/1": np.arange(1000.0)})
    assert sorted(state["classifier.bias"]) == list(range(1000))
    usual = {int(caffe): usual for usual, caffe in enumerate(state["classifier.bias"])}
    assert [usual[number] for number in range(8)] == [278, 212, 250, 193, 217, 147, 387, 285]
    assert usual[489] == 65
    np.testing.assert_array_equal(state["classifier.weight"].argmax(axis=1), state["classifier.bias"])


def caffe_blobs(state):
    """Returns Cadene's state dict as blobs of the authors, by their names, with a scale factor of 4."""
    authors_classes = np.argsort(to_state_dict({"classifier/1": np.arange(1000.0)})["classifier.bias"])
    parts = {"conv1": "1x1_reduce", "conv2": "3x3", "conv3": "1x1_increase", "downsample.0": "1x1_proj"}
    parts |= {"se_module.fc1": "1x1_down", "se_module.fc2": "1x1_up"}
    blobs = {}
    for name in [name.removesuffix(".weight") for name, array in state.items() if array.ndim > 1]:
        block = re.fullmatch(r"layer(\d)\.(\d+)\.(.*)", name)
        weights = [state[f"{name}.{leaf}"] for leaf in ("weight", "bias") if f"{name}.{leaf}" in state]
        if name == "last_linear":
            layer, weights = "classifier", [array[authors_classes] for array in weights]
        elif block is None:
            layer, weights = "conv1/7x7_s2", [weights[0][:, ::-1]]
        else:
            layer = f"conv{int(block[1]) + 1}_{int(block[2]) + 1}_{parts[block[3]]}"
        blobs[layer] = weights
        if len(weights) == 1:
            norm = name.replace("conv", "bn").replace("downsample.0", "downsample.1")
            mean, variance = (4 * state[f"{norm}.running_{statistic}"] for statistic in ("mean", "var"))
            blobs[f"{layer}/bn"] = [mean, variance, np.float32([4])]
            blobs[f"{layer}/bn/scale"] = [state[f"{norm}.weight"], state[f"{norm}.bias"]]
    return blobs


def test_a_file_of_the_authors_equals_cadenes_port_of_it(tmp_path):
    state = peers.cadene(classes=1000)
    (tmp_path / "SE.caffemodel").write_bytes(caffe_model(caffe_blobs(state)))
    save_file(state, tmp_path / "port.safetensors")
    model = create_model("se_resnet50", **peers.SMALL)
    ours, port = (load_weights(model, tmp_path / name) for name in ("SE.caffemodel", "port.safetensors"))
    jax.tree.map(np.testing.assert_array_equal, ours, port)
    with pytest.raises(ValueError, match=r"surplus: conv2_1_1x1_down\.bias, "):
        load_weights(create_model("resnet50", **peers.SMALL), tmp_path / "SE.caffemodel")


def blob_shapes(model):
    """The shape of every tensor, as PyTorch would have it, by the name of its layer in Caffe."""
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 224, 224, 3)), train=False))
    shapes = {"/".join(path): leaf.shape for path, leaf in traverse_util.flatten_dict(variables).items()}
    names = tensor_names(namings(model)[-1], shapes)
    return {names[path]: (*shape[:-3:-1], *shape[:-2]) for path, shape in shapes.items()}


@pytest.mark.slow
def test_senet154():
    shapes = blob_shapes(create_model("senet154"))
    assert shapes["conv1_1/3x3_s2.weight"] == (64, 3, 3, 3)
    assert shapes["conv1_2/3x3.weight"] == (64, 64, 3, 3)
    assert shapes["conv1_3/3x3/bn.running_var"] == (128,)
    assert shapes["conv3_1_1x1_proj.weight"] == (512, 256, 3, 3)
    assert shapes["conv4_36_3x3.weight"] == (1024, 8, 3, 3)
    assert shapes["conv5_3_1x1_up.weight"] == (2048, 128)
    convolutions = 3 + 3 * (3 + 8 + 36 + 3) + 4
    assert len(shapes) == 5 * convolutions + 4 * (3 + 8 + 36 + 3) + 2


@pytest.mark.slow
def test_bn_inception():
    shapes = blob_shapes(create_model("se_bn_inception"))
    widths = {"1x1": 64, "3x3_reduce": 64, "3x3": 96, "double3x3_reduce": 64, "double3x3a": 96, "double3x3b": 96}
    widths |= {"pool_proj": 64}
    for layer, width in widths.items():
        assert shapes[f"inception_3b/{layer}.weight"][0] == width
        assert shapes[f"inception_3b/{layer}/bn.running_mean"] == (width,)
    assert shapes["inception_4e/double3x3b.weight"] == (256, 256, 3, 3)
    assert shapes["inception_5b_1x1_down.weight"] == (64, 1024)
    assert shapes["inception_5b_1x1_up.bias"] == (1024,)
    layers = {name.rpartition(".")[0].removesuffix("/bn") for name in shapes}
    assert {layer for layer in layers if not layer.startswith("inception")} == {
        *("conv1/7x7_s2", "conv2/3x3_reduce", "conv2/3x3", "classifier")
    }
    assert len(layers) == 69 + 20 + 1
