"""`launch.py export`."""

import importlib.util
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from senet_jax import create_model
from senet_jax.commands.command_line import main
from senet_jax.config import ModelConfig
from senet_jax.export import stablehlo
from senet_jax.weights import Preprocessing, load_weights, save_weights


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = create_model("resnet20_cifar")
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jax.numpy.zeros((1, 8, 8, 3)), train=False))
    variables = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.01, np.float32), shapes)
    save_weights("a.safetensors", variables, model="resnet20_cifar", preprocessing=Preprocessing(8), source="here")
    return tmp_path


def run(words):
    main(["export", *words.split()])


@pytest.mark.slow
def test_stablehlo(weights, capsys):
    run("--weights=a.safetensors --format=stablehlo --output=a.stablehlo --normalise")
    printed = capsys.readouterr().out
    assert "float32 (n, 8, 8, 3), pixels in [0, 255]" in printed
    exported = export.deserialize(bytearray((weights / "a.stablehlo").read_bytes()))
    assert exported.call(np.zeros((2, 8, 8, 3), np.float32)).shape == (2, 10)


def test_onnx_computes_in_float32_whatever_the_network_was_trained_in(weights, monkeypatch, capsys):
    network = ModelConfig("resnet20_cifar", dtype="bfloat16")
    arrays = load_weights(create_model("resnet20_cifar"), "a.safetensors")
    save_weights("b.safetensors", arrays, model=network, preprocessing=Preprocessing(8), source="here")
    written = []

    def write(file, loaded, **_):
        file.touch()
        written.append(loaded.network.dtype)
        return 0.0

    monkeypatch.setattr("senet_jax.export.onnx.write", write)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)
    run("--weights=b.safetensors --format=onnx --output=b.onnx")
    assert jnp.dtype(written.pop()) == jnp.float32
    assert re.search("computes in +float32", capsys.readouterr().out)


def test_a_file_that_differs_is_not_left(weights, monkeypatch):
    def differ(*_, **__):
        raise ValueError("the exported network differs")

    monkeypatch.setattr(stablehlo, "largest_difference", differ)
    with pytest.raises(SystemExit, match="the exported network differs"):
        run("--weights=a.safetensors --format=stablehlo --output=a.stablehlo")
    assert {path.name for path in weights.iterdir()} == {"a.safetensors"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--format=tflit --output=a", "--format is 'tflit'; it must be one of stablehlo, onnx, tflite"),
        ("--format=stablehlo --output=a.safetensors", "'a.safetensors', which exists already"),
        ("--format=stablehlo --output=x/a", "there is no directory 'x'"),
        ("--output=a", "export needs --format=stablehlo|onnx|tflite: Format of the file"),
    ],
)
def test_invalid_flags_are_refused(words, message, weights, capsys):
    with pytest.raises(SystemExit) as raised:
        run(f"--weights=a.safetensors {words}")
    assert raised.value.code == 2
    assert message in capsys.readouterr().err
