"""Networks as StableHLO, read with jax alone."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from networks import tiny_network
from processes import run_python

from senet_jax import create_model
from senet_jax.config import ModelConfig
from senet_jax.export import stablehlo
from senet_jax.weights import Preprocessing
from senet_jax.weights.source import Loaded

READER = """import sys
sys.modules["flax"] = sys.modules["senet_jax"] = None
import jax, numpy as np
run = jax.export.deserialize(bytearray(open("a.stablehlo", "rb").read())).call
np.save("found.npy", run(np.load("images.npy")))"""


@pytest.fixture(scope="module")
def loaded():
    model = tiny_network(3)
    variables = jax.jit(lambda: model.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), train=False))()
    return Loaded(model, variables, Preprocessing(16), (), ModelConfig("se_resnet20_cifar"), "here")


@pytest.mark.slow
def test_it_is_read_with_jax_alone_for_any_batch(loaded, tmp_path):
    difference = stablehlo.write(tmp_path / "a.stablehlo", loaded, normalise=True)
    assert difference < 1e-6
    exported = export.deserialize(bytearray((tmp_path / "a.stablehlo").read_bytes()))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    pixels = np.random.default_rng(1).integers(0, 256, (5, 16, 16, 3)).astype(np.float32)
    np.save(tmp_path / "images.npy", pixels)
    assert run_python(READER, directory=tmp_path).returncode == 0
    images = jnp.asarray(loaded.preprocessing.normalise(pixels))
    expected = loaded.network.apply(loaded.variables, images, train=False)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("timm/seresnext50_32x4d", {"stage_sizes": (1,), "widths": (32,), "stem_width": 8}),
        ("timm/ecaresnet26t", {"stage_sizes": (1,), "widths": (32,)}),
        ("se_shake26_2x32d_cifar", {"stage_sizes": (1, 1), "widths": (8, 16)}),
    ],
)
def test_networks_have_a_symbolic_batch_without_the_gathers_that_litert_lacks(name, fields):
    model = create_model(name, 3, **fields)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False))
    variables = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes)
    loaded = Loaded(model, variables, Preprocessing(32), (), ModelConfig(name), "here")
    exported = stablehlo.export_network(loaded, normalise=False)
    assert str(exported.in_avals[0].shape) == "(n, 32, 32, 3)"
    assert not re.search(r"stablehlo\.\w*gather", exported.mlir_module())


@pytest.mark.slow
@pytest.mark.parametrize("value", [0.0, np.nan])
def test_another_result_is_refused(value, loaded):
    with pytest.raises(ValueError, match=r"differs from the one in JAX by .*; at most 1e-05 is rounding"):
        stablehlo.largest_difference(lambda images: np.full((len(images), 3), value), loaded, normalise=False)
