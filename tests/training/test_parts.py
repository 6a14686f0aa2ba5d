from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util
from random_variables import initial_variables

from senet_jax import create_model
from senet_jax.config import DataConfig, Experiment, InitConfig, OptimizerConfig
from senet_jax.modules.conv import with_xla_convolutions
from senet_jax.training.augmentation import normalise
from senet_jax.training.optimizer import make_optimizer
from senet_jax.training.parts import find_parts, join, split
from senet_jax.training.state import init_state
from senet_jax.training.step import make_train_step

MODEL = with_xla_convolutions(create_model("se_resnet20_cifar", 10, stage_sizes=(1, 1, 1), ratio=4))
SHAPE = (8, 8, 3)
BATCH = {"image": jnp.arange(4 * 192, dtype=jnp.uint8).reshape(4, *SHAPE), "label": jnp.arange(4)}


def prepared(freeze=(), **optimizer):
    """The state, the step, and the frozen parameters."""
    settings = {"learning_rate": 0.1, "schedule": "constant"} | optimizer
    config = Experiment(data=DataConfig(), optimizer=OptimizerConfig(**settings), init=InitConfig(freeze=freeze))
    frozen, factors = find_parts(MODEL, config, SHAPE)
    optimiser = make_optimizer(config.optimizer, lambda _: 1.0, factors)
    average = config.optimizer.kind == "schedule_free_sgd"
    init = partial(init_state, MODEL, optimiser, SHAPE, seed=0, average=average, frozen=frozen)
    state = jax.jit(init)(variables=initial_variables(MODEL, jnp.zeros((1, *SHAPE))))
    return state, jax.jit(make_train_step(MODEL, optimiser, config, frozen)), frozen


def changed(before, after):
    """The paths of the leaves that differ."""
    old, new = (traverse_util.flatten_dict(tree, sep="/") for tree in (before, after))
    return {path for path in old if not np.array_equal(old[path], new[path])}


def flops(step, state):
    return (step.lower(state, BATCH).cost_analysis() or {})["flops"]


@pytest.mark.slow
def test_frozen_parameters_stay_and_cost_no_gradient():
    whole, step, _ = prepared()
    all_flops = flops(step, whole)
    state, step, frozen = prepared(("stem", "stage2", "stage3", "*norm*"))
    new = step(state, BATCH)
    parameters = changed(state.variables["params"], new.variables["params"])
    assert parameters == {
        path
        for path in traverse_util.flatten_dict(whole.variables["params"], sep="/")
        if tuple(path.split("/")) not in frozen
    }
    assert {path.split("/")[0] for path in parameters} == {"stage4_block1", "head"}
    assert not changed(state.variables["batch_stats"], new.variables["batch_stats"])
    assert "stage2_block1" not in str(jax.tree.structure(state.optimizer_state))
    # Forward, and of the backward pass the last stage alone: less than two thirds of three times the forward pass.
    assert flops(step, state) < 0.65 * all_flops


@pytest.mark.slow
def test_frozen_normalisation_alone_uses_its_running_statistics():
    state, step, _ = prepared(("stage2_block1/norm1",))
    new = step(state, BATCH)
    moved = {path.rpartition("/")[0] for path in changed(state.variables["batch_stats"], new.variables["batch_stats"])}
    assert "stage2_block1/norm1" not in moved
    assert {"stem/norm", "stage2_block1/norm2", "stage4_block1/norm1"} <= moved


@pytest.mark.slow
def test_frozen_statistics_stay_and_are_those_of_the_gradient():
    state, _, _ = prepared()
    config = Experiment(optimizer=OptimizerConfig(learning_rate=0.1, schedule="constant"))
    optimizer = make_optimizer(config.optimizer, lambda _: 1.0, {})
    new = jax.jit(make_train_step(MODEL, optimizer, config, frozen_statistics=True))(state, BATCH)
    assert changed(state.variables["params"], new.variables["params"]) == set(
        traverse_util.flatten_dict(state.variables["params"], sep="/")
    )
    jax.tree.map(np.testing.assert_array_equal, new.variables["batch_stats"], state.variables["batch_stats"])
    images = normalise(BATCH["image"], config.data.mean, config.data.std)
    logits = jax.jit(partial(MODEL.apply, train=False))(state.variables, images)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, BATCH["label"]).sum()
    np.testing.assert_allclose(new.sums["loss"], loss, rtol=1e-5)


@pytest.mark.slow
def test_schedule_free_sgd_is_evaluated_at_its_mean():
    state, step, _ = prepared(("stem",), kind="schedule_free_sgd", learning_rate=0.01)
    new = step(step(state, BATCH), BATCH)
    assert new.evaluated is new.average
    differ = changed(new.variables["params"], new.average["params"])
    assert "head/kernel" in differ
    assert "stem/conv/kernel" not in differ
    assert not changed(new.variables["batch_stats"], new.average["batch_stats"])


def factors(**settings):
    config = Experiment(optimizer=OptimizerConfig(**settings.pop("optimizer", {})), init=InitConfig(**settings))
    return find_parts(MODEL, config, SHAPE)[1]


def test_factors_of_the_learning_rate():
    found = factors(optimizer={"layer_decay": 0.5, "multipliers": ("head=10", "*/se=2", "stage3=0")}, freeze=("stem",))
    assert found["head", "bias"] == 10
    assert found["stage4_block1", "norm1", "scale"] == 0.5
    assert found["stage2_block1", "se", "reduce", "kernel"] == 0.25
    assert ("stage4_block1", "se", "reduce", "kernel") not in found  # Twice the half.
    assert found["stage3_block1", "conv1", "kernel"] == 0
    assert found["stage2_block1", "conv2", "kernel"] == 0.125
    assert ("stem", "conv", "kernel") not in found


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"freeze": ("stage9",)},
            "init.freeze has 'stage9', which matches no parameter; the network's parts are stem, st",
        ),
        ({"freeze": ("*",)}, "config.init.freeze is .*, which leaves no parameter to train"),
        ({"optimizer": {"multipliers": ("hed=2",)}}, "multipliers has 'hed', .*; did you mean 'head'"),
    ],
)
def test_patterns_that_match_nothing_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        factors(**settings)


def test_split_and_join():
    params = {"a": {"b": 1, "c": 2}, "d": {"e": 3}}
    trained, kept = split(params, {("a", "b"), ("d", "e")})
    assert (trained, kept) == ({"a": {"c": 2}}, {"a": {"b": 1}, "d": {"e": 3}})
    assert join(trained, kept) == params
    assert split(params, ()) == (params, {})
