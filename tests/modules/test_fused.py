"""Blocks that fuse their normalisations with later operations, against blocks that do not."""

import re
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilation import quickly
from flax import linen as nn
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from senet_jax import create_model
from senet_jax.analysis.cost import cost
from senet_jax.modules import BatchNorm, Bottleneck, SqueezeExcite, WithSE, all_derivatives, unfused
from senet_jax.modules.conv import Convolution
from senet_jax.training import parallel

pytestmark = pytest.mark.optimised

SIZES = {"stage_sizes": (2,), "widths": (8,), "stem_width": 8}
IMAGES = np.random.default_rng(0).normal(size=(8, 16, 16, 3))


def network(name, fused, group=None, **settings):
    return create_model(name, 10, norm=partial(BatchNorm, fused=fused, group=group), **SIZES | settings)


def variables_of(model, images=IMAGES):
    """Drawn at random, all of them."""
    tree = jax.eval_shape(partial(model.init, jax.random.key(0), jnp.asarray(images), train=False))
    uniform = np.random.default_rng(1).uniform
    return jax.tree.map(lambda x: jnp.asarray(uniform(0.2, 1, x.shape) - 0.6 * (x.ndim != 1), x.dtype), tree)


def run(model, variables, images, *, train):
    """Returns all gradients, also of the running statistics, then logits and updated statistics."""

    def loss(variables, images):
        rngs = {"dropout": jax.random.key(1)}
        outputs = model.apply(variables, images, train=train, mutable=["batch_stats"], rngs=rngs)
        return jnp.sin(outputs[0]).sum(), outputs

    return jax.jit(jax.grad(loss, (0, 1), has_aux=True))(variables, jnp.asarray(images))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings", "train"),
    [
        ("se_resnet50", {}, False),
        ("resnet50", {"group": 2}, True),
        ("se_resnet18", {"group": 4, "drop_path": 0.5, "placement": "post"}, True),
        ("se_resnet18", {"placement": "pre"}, True),
        ("se_resnet50", {"placement": "identity", "activation": nn.silu}, True),
        ("se_resnet50", {"attention": partial(SqueezeExcite, squeeze="both")}, True),
        ("se_resnet50", {"attention": partial(SqueezeExcite, squeeze="both")}, False),
    ],
)
def test_the_numbers_are_those_of_the_plain_composition(name, settings, train, x64):
    types = {"dtype": jnp.float64, "param_dtype": jnp.float64}
    fused, plain = (network(name, choice, **types, **settings) for choice in (True, False))
    variables = variables_of(plain)
    given = run(fused, variables, IMAGES, train=train)
    with quickly():
        expected = run(plain, variables, IMAGES, train=train)

    def check(a, b):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * np.abs(b).max() + 1e-12)

    jax.tree.map(check, given, expected)


@pytest.mark.slow
def test_bfloat16_is_as_near_as_the_plain_composition(x64):
    def error(fused):
        gradient, _ = run(network("se_resnet50", fused, dtype=jnp.bfloat16), variables, images, train=True)
        pairs = zip(jax.tree.leaves(gradient[0]), jax.tree.leaves(exact), strict=True)
        return np.sqrt(sum(np.square(np.asarray(a, np.float64) - b).sum() for a, b in pairs))

    images = IMAGES.astype(jnp.bfloat16)
    model = network("se_resnet50", False, dtype=jnp.float64, param_dtype=jnp.float64)
    with quickly():
        (exact, _), _ = jax.device_get(run(model, variables_of(model), images, train=True))
    variables = variables_of(network("se_resnet50", False))
    assert 0 < error(True) < 1.1 * error(False)


@pytest.mark.slow
def test_groups_within_a_device_need_no_exchange():
    model, mesh = network("se_resnet50", True, group=2), parallel.data_mesh()
    variables = variables_of(model)

    def step(variables, images):
        def loss(params):
            logits, updated = model.apply(variables | {"params": params}, images, train=True, mutable=["batch_stats"])
            return jnp.sin(logits).sum(), updated

        gradient, updated = jax.grad(loss, has_aux=True)(variables["params"])
        return {"params": jax.tree.map(lambda p, g: p - g, variables["params"], gradient), **updated}

    replicated, sharded = parallel.replicated(mesh), parallel.sharded(mesh)
    compiled = jax.jit(step, in_shardings=(replicated, sharded), out_shardings=replicated)
    program: Any = compiled.lower(variables, jnp.asarray(IMAGES, jnp.float32)).compile().as_text()
    assert not re.search(r"all-gather|all-to-all|collective-permute|reduce-scatter", program)
    results = re.findall(r"= (.*?) all-reduce(?:-start)?\(", program)
    shapes = re.findall(r"\w+\[([\d,]*)\]", " ".join(results))
    reduced = sum(int(np.prod([int(size) for size in shape.split(",") if size])) for shape in shapes)
    assert reduced == sum(leaf.size for leaf in jax.tree.leaves(variables))


@pytest.mark.slow
@pytest.mark.parametrize("train", [True, False])
def test_gradients_inside_of_shard_map_are_those_of_each_part(train, x64):
    """The parameters are the same on both devices, and the examples are divided."""
    model = network("se_resnet50", True, stage_sizes=(1,), dtype=jnp.float64, param_dtype=jnp.float64)
    variables, images = variables_of(model), jnp.asarray(IMAGES)
    mesh, replicated, parts = parallel.data_mesh(jax.devices()[:2]), PartitionSpec(), PartitionSpec("data")

    def gradient(params, images):
        def loss(params):
            logits, _ = model.apply(variables | {"params": params}, images, train=train, mutable=["batch_stats"])
            return jnp.sin(logits).sum()

        return jax.grad(loss)(params)

    with quickly():
        divided = jax.jit(jax.shard_map(gradient, mesh=mesh, in_specs=(replicated, parts), out_specs=replicated))
        given = divided(variables["params"], images)
        halves = [jax.jit(gradient)(variables["params"], half) for half in jnp.split(images, 2)]
    expected = jax.tree.map(jnp.add, *halves)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-11), given, expected)


class Binary(Convolution):
    """Is not linear, so that it does not commute with the mean."""

    def __call__(self, x):
        return super().__call__(jnp.sign(x - 0.5))


def test_in_inference_a_convolution_of_ones_own_is_called_once_on_the_map():
    block = Bottleneck(4, attention=SqueezeExcite, conv=Binary)
    x = jnp.asarray(IMAGES[..., :1] * np.linspace(0.5, 1, 16), jnp.float32)
    variables = variables_of(block, x)
    with quickly():
        given = block.apply(variables, x, train=False)
        with unfused():
            expected = block.apply(variables, x, train=False)
    np.testing.assert_allclose(given, expected, atol=1e-5 * np.abs(expected).max())


def test_in_inference_the_squeeze_is_taken_before_the_last_convolution():
    block = Bottleneck(8, attention=SqueezeExcite, norm=partial(BatchNorm, fused=True))
    x, calls = jnp.asarray(IMAGES[..., :1] * np.ones(32), jnp.float32), []
    variables = jax.eval_shape(partial(block.init, train=False), jax.random.key(0), x)

    def note(method, arguments, keywords, context):
        if context.module.name == "conv3":
            calls.append(arguments[0].shape)
        return method(*arguments, **keywords)

    with nn.intercept_methods(note):
        jax.eval_shape(partial(block.apply, train=False), variables, x)
    assert calls == [(8, 16, 16, 8), (8, 1, 1, 8)]


def test_unfused_shows_every_layer_to_capture_intermediates():
    block = Bottleneck(8, attention=SqueezeExcite)
    x = jnp.asarray(IMAGES[..., :1] * np.ones(32), jnp.float32)
    variables = jax.eval_shape(partial(block.init, train=False), jax.random.key(0), x)
    look = partial(block.apply, train=True, mutable=True, capture_intermediates=True)
    with unfused():
        _, seen = jax.eval_shape(look, variables, x)
    layers = {f"{kind}{index}" for kind in ("conv", "norm") for index in (1, 2, 3)}
    assert set(seen["intermediates"]) == layers | {"se", "Dropout_0", "__call__"}
    assert all(leaf["__call__"][0].shape[:3] == (8, 16, 16) for leaf in map(seen["intermediates"].get, layers))
    counts = [cost(network("se_resnet50", fused), 16) for fused in (True, False)]
    assert counts[0].total == counts[1].total
    assert counts[0].squeeze_excite.multiply_adds == 2 * sum(c * c // 16 for c in (32, 32))


def test_with_se_finds_the_normalisation_of_a_fused_block_in_training():
    x = jax.ShapeDtypeStruct((8, 16, 16, 32), jnp.float32)
    model = WithSE(Bottleneck(8), where="norm3")
    variables = jax.eval_shape(partial(model.init, train=True), jax.random.key(0), x)
    assert "se" in variables["params"]["norm3"]


@pytest.mark.slow
def test_all_derivatives_exist_in_plain_forms(x64):
    settings = {"dtype": jnp.float64, "param_dtype": jnp.float64, "activation": nn.softplus, "stage_sizes": (1,)}
    model = network("se_resnet18", True, **settings)
    variables, images = variables_of(model), jnp.asarray(IMAGES[:2])

    def loss(images):
        return jnp.sin(model.apply(variables, images, train=True, mutable=["batch_stats"])[0]).sum()

    with all_derivatives():
        slope, product = jax.jit(lambda x: jax.jvp(jax.grad(loss), (x,), (jnp.cos(x),)))(images)
        _, forward = jax.jit(lambda x: jax.jvp(loss, (x,), (jnp.cos(x),)))(images)
        again = jax.jit(jax.grad(lambda x: (jax.grad(loss)(x) * jnp.cos(images)).sum()))(images)
    np.testing.assert_allclose(forward, (slope * jnp.cos(images)).sum(), rtol=1e-9)
    np.testing.assert_allclose(again, product, rtol=0, atol=1e-10 * np.abs(product).max())


def test_a_mesh_with_explicit_axes_computes_the_same():
    model = network("se_resnet18", True, group=2, stage_sizes=(1,))
    variables, images = variables_of(model), jnp.asarray(IMAGES, jnp.float32)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Explicit,))
    divided, everywhere = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("data",), ()))
    with quickly():
        expected = run(model, variables, images, train=True)
        given = run(model, jax.device_put(variables, everywhere), jax.device_put(images, divided), train=True)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * np.abs(b).max()), given, expected)
