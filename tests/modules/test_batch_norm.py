from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.sharding import NamedSharding, PartitionSpec

from senet_jax.modules import BatchNorm
from senet_jax.ops import divided
from senet_jax.training.parallel import data_mesh

KEY = jax.random.key(0)
X = 3 + 2 * jax.random.normal(KEY, (8, 4, 4, 3))
RUNNING = {"mean": jnp.array([1.0, 2, 3]), "var": jnp.array([0.5, 1, 2])}
VARIABLES = {"params": {"scale": jnp.array([1.0, 2, 3]), "bias": jnp.array([0.0, 1, 2])}, "batch_stats": RUNNING}


@pytest.mark.parametrize("train", [True, False])
def test_over_the_whole_batch_it_is_flax_batch_norm(train):
    ours, updated = BatchNorm().apply(VARIABLES, X, train=train, mutable=["batch_stats"])
    flax_norm = nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5, use_fast_variance=False)
    theirs, expected = flax_norm.apply(VARIABLES, X, mutable=["batch_stats"])
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(updated["batch_stats"]["mean"], expected["batch_stats"]["mean"], rtol=1e-6)
    if not train:
        np.testing.assert_array_equal(updated["batch_stats"]["var"], RUNNING["var"])


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("group", "shape"), [(None, (1, 1, 1, 3)), (1, (8, 1, 1, 3))])
def test_a_single_value_for_each_channel_is_refused_in_training(fused, group, shape):
    norm = BatchNorm(group=group, fused=fused)
    with pytest.raises(ValueError, match="one value for each channel of a statistics group: its output would"):
        norm.apply(VARIABLES, jnp.ones(shape), train=True, mutable=["batch_stats"])
    assert norm.apply(VARIABLES, jnp.ones(shape), train=False).shape == shape


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("shape", [(16, 3), (2, 4, 4, 4, 3)])
def test_inputs_that_are_no_maps_are_refused(shape, train, unchecked_types):
    with pytest.raises(ValueError, match=r"BatchNorm takes inputs \(n, height, width, channels\); given one of shape"):
        BatchNorm().apply(VARIABLES, jnp.ones(shape), train=train, mutable=["batch_stats"])


def test_the_running_variance_is_unbiased():
    _, updated = BatchNorm().apply(VARIABLES, X, train=True, mutable=["batch_stats"])
    expected = 0.9 * RUNNING["var"] + 0.1 * np.var(np.asarray(X, np.float64), axis=(0, 1, 2), ddof=1)
    np.testing.assert_allclose(updated["batch_stats"]["var"], expected, rtol=1e-6)


def test_each_group_is_normalised_alone_and_running_statistics_are_the_mean_over_groups():
    y, updated = BatchNorm(group=2).apply(VARIABLES, X, train=True, mutable=["batch_stats"])
    alone = [BatchNorm().apply(VARIABLES, X[i : i + 2], train=True, mutable=["batch_stats"]) for i in range(0, 8, 2)]
    np.testing.assert_allclose(y, jnp.concatenate([part for part, _ in alone]), rtol=1e-5, atol=1e-5)
    for name in ("mean", "var"):
        expected = np.mean([stats["batch_stats"][name] for _, stats in alone], axis=0)
        np.testing.assert_allclose(updated["batch_stats"][name], expected, rtol=1e-5)


@pytest.mark.parametrize("group", [1, 2, 4, None])
def test_the_number_of_devices_changes_nothing(group):
    def step(x):
        return BatchNorm(group=group).apply(VARIABLES, x, train=True, mutable=["batch_stats"])

    sharded = jax.device_put(X, NamedSharding(data_mesh(), PartitionSpec("data")))
    assert len(sharded.addressable_shards) == 4
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), jax.jit(step)(sharded), step(X))


def test_bfloat16_data_have_float32_statistics():
    y, updated = BatchNorm().apply(VARIABLES, X.astype(jnp.bfloat16), train=True, mutable=["batch_stats"])
    assert y.dtype == jnp.bfloat16
    assert updated["batch_stats"]["mean"].dtype == jnp.float32


@pytest.mark.parametrize(("narrow", "wide"), [(jnp.bfloat16, jnp.float32), (jnp.float32, jnp.float64)])
def test_outside_of_training_variables_of_fewer_digits_do_not_round_the_maps(narrow, wide, x64):
    running = RUNNING | {"mean": jnp.full(3, 100.0)}
    variables = jax.tree.map(lambda x: x.astype(narrow), VARIABLES | {"batch_stats": running})
    scale, bias, mean, var = (
        np.asarray(variables[kind][name], np.float64)
        for kind, name in (("params", "scale"), ("params", "bias"), ("batch_stats", "mean"), ("batch_stats", "var"))
    )
    x = jnp.asarray(100 + np.random.default_rng(0).normal(size=X.shape), wide)
    expected = (np.asarray(x, np.float64) - mean) * (scale / np.sqrt(var + 1e-5)) + bias
    norm = BatchNorm(param_dtype=narrow)
    lazily = norm.apply(variables, x, train=False, method="normalise_lazily").compute()
    for y in (norm.apply(variables, x, train=False), lazily):
        assert y.dtype == wide
        np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-6)


def test_initialising_in_training_leaves_the_running_statistics():
    stats = BatchNorm().init(KEY, X, train=True)["batch_stats"]
    np.testing.assert_array_equal(stats["mean"], 0)
    np.testing.assert_array_equal(stats["var"], 1)


@pytest.mark.slow
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("group", [1, 4, None])
def test_a_divided_batch_has_the_statistics_of_the_whole(group, fused):
    norm = BatchNorm(group=group, fused=fused)

    def loss(variables, x):
        y, updated = norm.apply(variables, x, train=True, mutable=["batch_stats"])
        return (y**3).mean(), (y, updated)

    def of_part(variables, x):
        with divided.over("data"):
            gradient, (y, updated) = jax.grad(loss, has_aux=True)(variables, x)
            return divided.mean((gradient["params"], updated)), y

    parts = X.reshape(4, 2, *X.shape[1:])
    found, y = jax.pmap(of_part, "data", in_axes=(None, 0), out_axes=(None, 0))(VARIABLES, parts)
    gradient, (expected, updated) = jax.grad(loss, has_aux=True)(VARIABLES, X)
    np.testing.assert_allclose(y.reshape(X.shape), expected, rtol=1e-4, atol=1e-5)
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(close, found, (gradient["params"], updated))
