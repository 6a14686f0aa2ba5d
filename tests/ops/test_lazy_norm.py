from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilation import quickly
from jax.sharding import NamedSharding, PartitionSpec
from jax.test_util import check_grads

from senet_jax import ops
from senet_jax.training.parallel import data_mesh

pytestmark = pytest.mark.optimised

SHAPE = (8, 5, 4, 6)
RELATIVE_ERROR = {"float64": 1e-10, "float32": 1e-5, "bfloat16": 2e-2}


def inputs(dtype, mean=0.0):
    """A branch y, a shortcut, and the parameters; the means of y are so many stds."""
    normal = np.random.default_rng(0).normal
    parameters_dtype = jnp.promote_types(dtype, jnp.float32)
    std = np.arange(1, 7)
    maps = {"y": std * normal(mean, size=SHAPE), "shortcut": normal(size=SHAPE)}
    parameters = {name: normal(1, 0.3, 6) for name in ("gain", "bias", "shortcut_gain", "shortcut_bias")}
    parameters |= {"reduce": normal(size=(6, 3)), "expand": normal(size=(3, 6))}
    return {name: jnp.array(x, dtype) for name, x in maps.items()} | {
        name: jnp.array(x, parameters_dtype) for name, x in parameters.items()
    }


def gates(x, z):
    return ops.excite(z, x["reduce"], None, x["expand"], None)


def lazy(x, *, group, attends, projects):
    branch, *_ = ops.batch_normalise(x["y"], x["gain"], x["bias"], 1e-5, group)
    branch = branch.scale(gates(x, branch.squeeze)) if attends else branch
    shortcut = x["shortcut"]
    if projects:
        shortcut, *_ = ops.batch_normalise(shortcut, x["shortcut_gain"], x["shortcut_bias"], 1e-5, group)
    return ops.activate(jax.nn.relu, branch, shortcut)


def plain(x, *, group, attends, projects):
    def normalise(y, gain, bias):
        return ops.normalise(y, *ops.group_moments(y, group), gain, bias, 1e-5)

    branch = normalise(x["y"], x["gain"], x["bias"])
    branch = ops.scale(branch, gates(x, ops.squeeze(branch))) if attends else branch
    shortcut = normalise(x["shortcut"], x["shortcut_gain"], x["shortcut_bias"]) if projects else x["shortcut"]
    return jax.nn.relu(branch + shortcut)


def value_and_gradients(function, x, **case):
    weights = jnp.array(np.random.default_rng(1).normal(size=SHAPE))
    y, pull = jax.vjp(partial(function, **case), x)
    return y, pull(weights.astype(y.dtype))[0]


whole = partial(lazy, group=2, attends=True, projects=True)
compiled = jax.jit(value_and_gradients, static_argnums=0, static_argnames=("group", "attends", "projects"))


def assert_near(given, expected, relative):
    """Errors in units of the largest element of each array."""

    def check(a, b):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        np.testing.assert_allclose(a, b, rtol=0, atol=relative * np.abs(b).max() + 1e-12)

    jax.tree.map(check, given, expected)


@pytest.mark.parametrize(
    "dtype", ["float64", *(pytest.param(dtype, marks=pytest.mark.slow) for dtype in ("float32", "bfloat16"))]
)
@pytest.mark.parametrize(
    "case",
    [
        {"group": None, "attends": True, "projects": False},
        {"group": 2, "attends": True, "projects": True},
        {"group": 4, "attends": False, "projects": False},
    ],
)
def test_value_and_gradients_are_those_of_the_plain_composition(case, dtype, x64):
    for mean in (0.0, 100.0):
        x = inputs(dtype, mean)
        with quickly():
            exact = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), x)
            expected = compiled(plain, exact, **case)
        given = compiled(lazy, x, **case)
        assert given[0].dtype == dtype
        assert all(given[1][name].dtype == x[name].dtype for name in x)
        assert_near(given, expected, RELATIVE_ERROR[dtype])


@pytest.mark.parametrize("activation", [jax.nn.relu, jnp.tanh])
def test_normalisation_and_activation_alone(activation, x64):
    x = inputs("float64", 3.0)

    def run(lazily, x):
        if lazily:
            return ops.activate(activation, ops.batch_normalise(x["y"], x["gain"], x["bias"], 1e-5, 4)[0])
        return activation(ops.normalise(x["y"], *ops.group_moments(x["y"], 4), x["gain"], x["bias"], 1e-5))

    given = compiled(partial(run, True), x)
    with quickly():
        expected = compiled(partial(run, False), x)
    assert_near(given, expected, 1e-10)


@pytest.mark.slow
@quickly()
def test_statistics_are_the_moments_of_each_group():
    y = inputs("float32", 100.0)["y"]
    normalised, mean, variance = ops.batch_normalise(y, jnp.ones(6), jnp.zeros(6), 1e-5, 2)
    groups = np.asarray(y, np.float64).reshape(4, -1, 6)
    np.testing.assert_allclose(mean, groups.mean(1), rtol=1e-6)
    np.testing.assert_allclose(variance, groups.var(1), rtol=1e-5)
    np.testing.assert_allclose(normalised.squeeze, ops.squeeze(normalised.compute()), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_gradients_are_those_of_finite_differences(x64):
    check_grads(jax.jit(whole), (inputs("float64"),), order=1, modes=["rev"], eps=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("projects", [True, False])
@quickly()
def test_the_gradient_keeps_only_the_normalised_map_and_the_output(projects):
    x = inputs("float32")
    y, pull = jax.vjp(partial(lazy, group=None, attends=True, projects=projects), x)
    kept = [leaf for leaf in jax.tree.leaves(pull) if leaf.shape == SHAPE]
    expected = [x["y"], y, *([x["shortcut"]] if projects else [])]
    assert {leaf.unsafe_buffer_pointer() for leaf in kept} == {leaf.unsafe_buffer_pointer() for leaf in expected}


@pytest.mark.slow
@pytest.mark.parametrize("transform", ["none", jax.checkpoint, "vmap", "pmap", "sharded"])
def test_transformations_change_nothing(transform, x64):
    x = inputs("float64")
    expected = compiled(whole, x)
    if transform == "none":
        with quickly():  # Each operation is a program of its own.
            given = value_and_gradients(whole, x)
        assert_near(given, expected, 1e-12)
        return
    if callable(transform):
        assert_near(compiled(transform(whole), x), expected, 1e-12)
        return
    maps = ("y", "shortcut")
    if transform == "sharded":
        x |= {name: jax.device_put(x[name], NamedSharding(data_mesh(), PartitionSpec("data"))) for name in maps}
        assert_near(compiled(whole, x), expected, 1e-12)
        return
    axes = ({name: 0 if name in maps else None for name in x},)
    x |= {name: x[name].reshape(4, 2, *SHAPE[1:]) for name in maps}
    mapped = (jax.pmap if transform == "pmap" else jax.vmap)(whole, in_axes=axes)
    given = (value_and_gradients if transform == "pmap" else compiled)(lambda x: mapped(x).reshape(SHAPE), x)
    given[1].update({name: given[1][name].reshape(SHAPE) for name in maps})
    assert_near(given, expected, 1e-12)


def test_a_group_that_does_not_divide_the_batch_is_an_error():
    with pytest.raises(ValueError, match="group of 3 does not divide the batch of 8 examples"):
        ops.batch_normalise(jnp.zeros(SHAPE), jnp.ones(6), jnp.zeros(6), 1e-5, 3)
