import dataclasses
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compilation import quickly
from flax import linen as nn
from networks import Linear, tiny_network
from random_variables import initial_variables

from senet_jax import create_model
from senet_jax.config import DataConfig, Experiment, ModelConfig, OptimizerConfig
from senet_jax.modules import BatchNorm
from senet_jax.modules.conv import Convolution
from senet_jax.training import bad_steps, metrics, parallel
from senet_jax.training.state import init_state
from senet_jax.training.step import _augmented as augmented
from senet_jax.training.step import _move as moved
from senet_jax.training.step import make_eval_step, make_train_step

BATCH = {
    "image": np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1), np.uint8),
    "label": np.arange(16, dtype=np.int32) % 10,
}


MODEL = tiny_network()
SGD = optax.sgd(0.1, momentum=0.9)


def initial_state(model):
    with quickly():
        variables = initial_variables(model, jnp.zeros((1, 8, 8, 1)))
        return jax.jit(partial(init_state, model, SGD, (8, 8, 1), seed=0, average=False))(variables=variables)


@pytest.fixture(scope="module")
def state():
    return initial_state(MODEL)


@pytest.fixture
def batch():
    return jax.tree.map(jnp.array, BATCH)


@pytest.fixture(scope="module")
def logits(state):
    """Logits of the images of BATCH, in inference."""
    images = jnp.array((BATCH["image"] / 255.0 - 0.5) / 0.25, jnp.float32)
    return jax.jit(partial(MODEL.apply, train=False))(state.variables, images)


def step_of(config):
    return jax.jit(make_train_step(MODEL, SGD, config))


@pytest.mark.slow
def test_the_number_of_devices_and_pmap_change_nothing_not_even_random_numbers(x64):
    small = {"stage_sizes": (1,), "widths": (4,), "stem_width": 4, "conv": partial(Convolution, lowering="xla")}
    in_float64 = {"dtype": jnp.float64, "param_dtype": jnp.float64}
    norm = partial(BatchNorm, group=8)
    model = create_model("se_shake26_2x32d_cifar", 10, dropout=0.2, norm=norm, **small, **in_float64)
    first = jax.device_get(jax.jit(partial(init_state, model, SGD, (8, 8, 1), seed=0, average=False))())
    config = Experiment(data=DataConfig(crop_padding=1, flip=True))

    def run(make, devices):
        mesh = parallel.data_mesh(jax.devices()[:devices])
        state = jax.device_put(first, parallel.replicated(mesh))
        step = make(make_train_step(model, SGD, config), mesh)
        for batch in parallel.to_devices([BATCH] * 3, mesh):
            state = step(state, batch, 0, 0.1)
        assert state.step.sharding.is_equivalent_to(parallel.replicated(mesh), 0)
        return jax.device_get(state)

    one = run(parallel.jit_step, 1)
    for several in (run(parallel.jit_step, 4), run(parallel.PmapStep, 4)):
        assert several.sums.pop("loss") == pytest.approx(one.sums["loss"], rel=1e-6)  # In float32.
        jax.tree.map(
            partial(np.testing.assert_allclose, rtol=0, atol=1e-10),
            (several.variables, several.optimizer_state, several.sums),
            (one.variables, one.optimizer_state, {name: one.sums[name] for name in several.sums}),
        )


def test_a_step_lowers_the_loss_counts_and_changes_every_parameter(state, batch):
    step = step_of(Experiment())
    first = step(state, batch)
    assert first.step == 1
    assert first.sums["count"] == 16
    assert not any(jax.tree.leaves(jax.tree.map(np.array_equal, state.variables, first.variables)))
    second = step(first, batch)
    assert second.sums["loss"] - first.sums["loss"] < first.sums["loss"]
    assert second.sums["count"] == 32


@pytest.mark.slow
def test_the_gradient_is_of_the_mean_loss(state, batch):
    new = step_of(Experiment())(state, batch)

    def loss(params):
        images = (batch["image"] / 255.0 - 0.5) / 0.25
        logits, _ = MODEL.apply(state.variables | {"params": params}, images, train=True, mutable=["batch_stats"])
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]).mean()

    gradient = jax.jit(jax.grad(loss))(state.variables["params"])
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, state.variables["params"], gradient)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), new.variables["params"], expected)


@pytest.mark.slow
@pytest.mark.optimised
def test_a_bad_step_changes_counters_alone_and_looking_for_one_changes_nothing(state, batch, monkeypatch):
    """One test, because both halves compile the same step."""
    optimizer = optax.sgd(optax.constant_schedule(0.1), momentum=0.9)
    with quickly():
        state = dataclasses.replace(state, optimizer_state=optimizer.init(state.variables["params"]))
    step = jax.jit(make_train_step(MODEL, optimizer, Experiment()))
    good = step(state, batch)
    poisoned = jax.tree.map(np.array, good.variables)
    poisoned["params"]["stage3_block1"]["conv1"]["kernel"] *= np.nan
    poisoned = dataclasses.replace(good, variables=poisoned)
    bad = step(poisoned, batch)
    again = step(bad, batch)
    for name in ("variables", "sums"):
        jax.tree.map(np.testing.assert_array_equal, getattr(again, name), getattr(poisoned, name))
    momentum, count = bad.optimizer_state[0].trace, bad.optimizer_state[1].count
    jax.tree.map(np.testing.assert_array_equal, momentum, good.optimizer_state[0].trace)
    assert (int(count), int(bad.step), int(good.bad["count"]), int(again.bad["count"])) == (2, 2, 0, 2)
    assert int(again.bad["step"]) == 2
    assert not np.isfinite(again.bad["loss"])
    np.testing.assert_array_equal(again.bad["before"], good.bad["before"])
    said = bad_steps.described(again.bad, state.variables["params"])
    assert re.fullmatch(r"step 2 is bad: its loss is nan, its largest .* are (\S+ nan, ){3}and .* \S+ \d.*", said)

    monkeypatch.setattr(bad_steps, "chosen", lambda good, new, old: new)
    monkeypatch.setattr(bad_steps, "norms", lambda gradient: jnp.zeros(len(jax.tree.leaves(gradient))))
    unwatched = jax.jit(make_train_step(MODEL, optimizer, Experiment()))(state, batch)
    for name in ("variables", "optimizer_state", "sums"):
        jax.tree.map(np.testing.assert_array_equal, getattr(good, name), getattr(unwatched, name))


def test_the_gradients_norms_are_those_of_optax(state):
    params = state.variables["params"]
    norms = bad_steps.norms(params)
    np.testing.assert_allclose(jnp.linalg.norm(norms), optax.tree.norm(params), rtol=1e-6)
    assert len(norms) == len(jax.tree.leaves(params))


@pytest.mark.parametrize("change", [{"crop_padding": 2}, {"flip": True}, {"cutout": 4}, {"mixup": 1.0}])
def test_augmentation_depends_on_the_step_and_the_seed(change, batch):
    numbers = ((0, 0), (0, 1), (0, 0), (1, 0))
    found = [
        np.asarray(augmented(batch, DataConfig(**change), seed, jnp.int32(step))["image"]) for seed, step in numbers
    ]
    first, second, again, other = (images.tobytes() for images in found)
    assert first == again
    assert len({first, second, other}) == 3


def test_dropout_depends_on_the_step_and_the_seed(batch):
    state = init_state(Linear(dropout=0.5), SGD, (8, 8, 1), seed=0, average=False)
    step = jax.jit(make_train_step(Linear(dropout=0.5), SGD, Experiment()))
    numbers = ((0, 0), (0, 1), (0, 0), (1, 0))
    first, second, again, other = (
        float(step(state.replace(step=jnp.int32(number)), batch, seed).sums["loss"]) for seed, number in numbers
    )
    assert first == again
    assert len({first, second, other}) == 3


def test_a_step_with_a_finite_loss_and_an_infinite_gradient_is_bad(batch):
    state = init_state(Steep(), SGD, (8, 8, 1), seed=0, average=False)
    new = jax.jit(make_train_step(Steep(), SGD, Experiment()))(state, batch)
    assert int(new.bad["count"]) == 1
    assert np.isfinite(new.bad["loss"])
    jax.tree.map(np.testing.assert_array_equal, new.variables, state.variables)


@pytest.mark.slow
def test_the_moving_average_follows_and_is_evaluated(state, batch):
    averaged = state.replace(average=jax.tree.map(jnp.copy, state.variables))
    new = step_of(Experiment(optimizer=OptimizerConfig(ema_decay=0.5)))(averaged, batch)
    share = min(0.5, 1 / 10)
    expected = jax.tree.map(lambda a, b: share * a + (1 - share) * b, state.variables, new.variables)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), new.average, expected)
    assert new.evaluated is new.average
    assert state.evaluated is state.variables


@pytest.mark.parametrize(("step", "kept"), [(0, 0.1), (7, 8 / 17), (8, 0.5), (1000, 0.5)])
def test_the_moving_average_forgets_faster_at_first(step, kept):
    average = moved({"a": jnp.ones(2)}, {"a": jnp.zeros(2)}, 0.5, jnp.int32(step))
    np.testing.assert_allclose(average["a"], kept, rtol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 5, 16, 24])
def test_evaluation_is_exact_for_every_batch_size(batch_size, state, logits):
    eval_step = jax.jit(make_eval_step(MODEL, Experiment()))
    parts = []
    for i in range(0, 16, batch_size):
        real = jax.tree.map(lambda x, i=i: x[i : i + batch_size], BATCH)
        missing = batch_size - len(real["label"])
        padded = {
            name: np.concatenate([part, np.zeros((missing, *part.shape[1:]), part.dtype)])
            for name, part in real.items()
        }
        parts.append(eval_step(state.variables, padded | {"mask": np.arange(batch_size) < batch_size - missing}))
    result = metrics.means(parts)
    assert result["accuracy"] == (logits.argmax(1) == BATCH["label"]).mean()
    assert result["loss"] == pytest.approx(float(metrics.losses(logits, jnp.array(BATCH["label"])).mean()), rel=1e-5)


class Steep(nn.Module):
    """Has the root of a parameter that is zero."""

    @nn.compact
    def __call__(self, x, *, train):
        root = jnp.sqrt(self.param("zero", nn.initializers.zeros, (10,)))
        return nn.Dense(10, name="dense")(x.reshape(len(x), -1)) + root


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"mixup": 0.3}])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(batch, options):
    state = init_state(Linear(), SGD, (8, 8, 1), seed=0, average=False)
    data = DataConfig(**options)
    states = [
        jax.jit(make_train_step(Linear(), SGD, Experiment(data=data, batch_size=16, accumulate=parts)))(state, batch)
        for parts in (1, 4)
    ]
    first, second = (jax.tree.leaves((state.variables, state.sums)) for state in states)
    for whole, parts in zip(first, second, strict=True):
        np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_parts_of_whole_groups_make_the_step_of_the_whole_batch(batch, x64):
    model = tiny_network(norm=partial(BatchNorm, group=2), dtype=jnp.float64, param_dtype=jnp.float64)
    state = initial_state(model)
    config = Experiment(ModelConfig(statistics_group=2), batch_size=16)

    def step(parts):
        whole = make_train_step(model, SGD, dataclasses.replace(config, accumulate=parts))
        return jax.device_get(jax.jit(whole)(state, batch).variables)

    jax.tree.map(partial(np.testing.assert_allclose, rtol=0, atol=1e-12), step(4), step(1))


@pytest.mark.slow
def test_frozen_statistics_stay_to_the_bit_in_parts(state, batch):
    config = Experiment(batch_size=15, accumulate=3)
    step = jax.jit(make_train_step(MODEL, SGD, config, frozen_statistics=True))
    new = step(state, jax.tree.map(lambda x: x[:15], batch))
    jax.tree.map(np.testing.assert_array_equal, new.variables["batch_stats"], state.variables["batch_stats"])


def test_parts_whose_groups_reach_over_devices_are_refused_by_pmap(state):
    config, mesh = Experiment(ModelConfig(statistics_group=4), batch_size=16, accumulate=2), parallel.data_mesh()
    step = parallel.PmapStep(make_train_step(MODEL, SGD, config), mesh)
    with pytest.raises(ValueError, match=r"a device has 2 images of each of config.accumulate=2 parts, .*_group=4"):
        step(state, next(parallel.to_devices([BATCH], mesh)), 0, 0.1)
