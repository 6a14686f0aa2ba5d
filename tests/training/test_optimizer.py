import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest
from flax import traverse_util
from numpy.linalg import norm
from parity import rule
from parity.compare import FIXTURES

from senet_jax.config import OptimizerConfig
from senet_jax.training.optimizer import kernels, make_optimizer, make_schedule


def rates(config, steps, total=100):
    schedule = make_schedule(config, total_steps=total, steps_per_epoch=10)
    return [config.learning_rate * float(schedule(step)) for step in steps]


def test_the_papers_schedule_divides_by_ten_every_30_epochs():
    config = OptimizerConfig(learning_rate=0.6, schedule="step", decay_at=("30 epochs", "60 epochs", "90 epochs"))
    steps = [0, 299, 300, 599, 600, 899, 900]
    np.testing.assert_allclose(rates(config, steps, 1000), [0.6, 0.6, 0.06, 0.06, 6e-3, 6e-3, 6e-4], rtol=1e-6)


def test_warm_up_is_linear_and_cosine_ends_at_zero():
    config = OptimizerConfig(learning_rate=1.0, schedule="cosine", warmup="2 epochs")
    expected = [0.0, 0.5, 1.0, 0.5 + 0.5 * np.cos(np.pi / 4), 0.5, 0.0]
    np.testing.assert_allclose(rates(config, [0, 10, 20, 40, 60, 100]), expected, atol=1e-6)


def test_decay_times_count_from_the_start_of_training():
    config = OptimizerConfig(learning_rate=1.0, schedule="step", warmup="20 steps", decay_at=("50 steps",))
    np.testing.assert_allclose(rates(config, [49, 50]), [1.0, 0.1], rtol=1e-6)


def test_decays_that_round_to_one_step_are_all_made():
    config = OptimizerConfig(learning_rate=1.0, schedule="step", decay_at=("30 steps", "3 epochs", "50 steps"))
    np.testing.assert_allclose(rates(config, [29, 30, 50]), [1.0, 0.01, 0.001], rtol=1e-6)


def test_a_decay_in_the_warm_up_or_not_before_the_end_of_training_is_an_error():
    config = OptimizerConfig(schedule="step", warmup="20 steps", decay_at=("19 steps", "5 epochs"))
    with pytest.raises(ValueError, match=r"decay_at has '19 steps', 19 steps, which is in the warm-up of 20 steps"):
        make_schedule(config, total_steps=100, steps_per_epoch=10)
    config = OptimizerConfig(schedule="step", decay_at=("5 epochs", "10 epochs"))
    with pytest.raises(
        ValueError, match=r"decay_at has '10 epochs', 100 steps at 10 an epoch, which is not before .* after 100 steps"
    ):
        rates(config, [0])


def test_a_warm_up_as_long_as_the_training_is_an_error():
    with pytest.raises(
        ValueError, match="warmup is '10 epochs', 100 steps of 100 in all, at 10 an epoch; make it shorter"
    ):
        rates(OptimizerConfig(warmup="10 epochs"), [0])


PARAMS = {"conv": {"kernel": jnp.array([2.0, -1.0])}, "norm": {"scale": jnp.array([1.0]), "bias": jnp.array([3.0])}}
GRADIENT = {"conv": {"kernel": jnp.array([0.5, 0.25])}, "norm": {"scale": jnp.array([1.0]), "bias": jnp.array([-2.0])}}


def test_only_kernels_decay():
    assert kernels(PARAMS) == {"conv": {"kernel": True}, "norm": {"scale": False, "bias": False}}


@pytest.mark.parametrize("nesterov", [False, True])
def test_two_steps_by_hand(nesterov):
    config = OptimizerConfig(learning_rate=0.1, momentum=0.9, nesterov=nesterov, weight_decay=0.01, schedule="constant")
    optimizer = make_optimizer(config, lambda step: 0.5)
    state, params = optimizer.init(PARAMS), PARAMS
    theta, velocity = np.array([2.0, -1.0]), np.zeros(2)
    for _ in range(2):
        updates, state = optimizer.update(GRADIENT, state, params, learning_rate=0.2)
        params = {k: {n: params[k][n] + updates[k][n] for n in params[k]} for k in params}
        gradient = np.array([0.5, 0.25]) + 0.01 * theta
        velocity = 0.9 * velocity + gradient
        theta = theta - 0.1 * (gradient + 0.9 * velocity if nesterov else velocity)
    np.testing.assert_allclose(params["conv"]["kernel"], theta, rtol=1e-6)


@pytest.mark.parametrize(("schedule", "decay_at"), [("cosine", ()), ("step", ("4 steps",)), ("constant", ())])
def test_the_learning_rate_is_an_argument_of_the_update(schedule, decay_at):
    config = OptimizerConfig(0.3, 0.9, weight_decay=0.0, schedule=schedule, decay_at=decay_at, warmup="2 steps")
    share = make_schedule(config, total_steps=9, steps_per_epoch=3.0)
    optimizer, peer = make_optimizer(config, share), optax.sgd(lambda step: 0.3 * share(step), 0.9, nesterov=True)
    update, state, expected_state = jax.jit(optimizer.update), optimizer.init(PARAMS), peer.init(PARAMS)
    for _ in range(9):
        updates, state = update(GRADIENT, state, PARAMS, learning_rate=0.3)
        expected, expected_state = peer.update(GRADIENT, expected_state, PARAMS)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), updates, expected)


def test_the_decay_is_added_after_clipping():
    config = OptimizerConfig(momentum=0.0, nesterov=False, weight_decay=0.5, clip_norm=0.5)
    optimizer = make_optimizer(config, lambda step: 1.0)
    updates, _ = optimizer.update(GRADIENT, optimizer.init(PARAMS), PARAMS, learning_rate=1.0)
    clipped = 0.5 / optax.tree.norm(GRADIENT) * GRADIENT["conv"]["kernel"]
    np.testing.assert_allclose(updates["conv"]["kernel"], -(clipped + 0.5 * PARAMS["conv"]["kernel"]), rtol=1e-6)


def test_clipping_bounds_the_global_norm():
    config = OptimizerConfig(learning_rate=1.0, momentum=0.0, nesterov=False, weight_decay=0.0, clip_norm=0.5)
    optimizer = make_optimizer(config, lambda step: 1.0)
    updates, _ = optimizer.update(GRADIENT, optimizer.init(PARAMS), PARAMS, learning_rate=1.0)
    flat = np.concatenate([updates["conv"]["kernel"], updates["norm"]["scale"], updates["norm"]["bias"]])
    assert np.linalg.norm(flat) == pytest.approx(0.5)


def test_schedule_free_sgd_clips_first():
    config = OptimizerConfig(kind="schedule_free_sgd", learning_rate=1.0, weight_decay=0.0, clip_norm=0.5)
    optimizer = make_optimizer(config, lambda step: 1.0)
    state, clipped = optimizer.init(PARAMS), jax.tree.map(lambda g: 0.5 / optax.tree.norm(GRADIENT) * g, GRADIENT)
    found, expected = (optimizer.update(each, state, PARAMS, learning_rate=1.0)[0] for each in (GRADIENT, clipped))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, expected)


def test_schedule_free_sgd_weighs_each_step_by_its_own_rate():
    """The recursion of arXiv 2405.15682, whose weights are the squares of the rates, in a warm-up."""
    config = OptimizerConfig(0.1, kind="schedule_free_sgd", weight_decay=0.0, arguments=("b1=0.9",))
    optimizer = make_optimizer(config, lambda step: step / 3)
    params = {"bias": jnp.array([1.0, -2.0])}
    state = optimizer.init(params)
    z = x = y = np.asarray(params["bias"], np.float64)
    total = 0.0
    for step in range(4):
        updates, state = optimizer.update({"bias": params["bias"] ** 2}, state, params, learning_rate=0.1)
        params = optax.apply_updates(params, updates)
        rate = 0.1 * step / 3
        total += rate**2
        z = z - rate * y**2
        x = x + (rate**2 / total if total else 0) * (z - x)
        y = 0.9 * x + 0.1 * z
        np.testing.assert_allclose(params["bias"], y, rtol=1e-5)


def test_lamb_decays_and_scales_the_kernels_alone():
    config = OptimizerConfig(kind="lamb", learning_rate=0.1, weight_decay=0.02, schedule="constant")
    ours = make_optimizer(config, make_schedule(config, total_steps=100, steps_per_epoch=10))
    updates, _ = ours.update(GRADIENT, ours.init(PARAMS), PARAMS, learning_rate=0.1)
    lamb, adam = optax.lamb(0.1, eps=1e-6, weight_decay=0.02), optax.adam(0.1, eps=1e-6)
    for theirs, of_kernel in ((lamb, True), (adam, False)):
        expected, _ = theirs.update(GRADIENT, theirs.init(PARAMS), PARAMS)
        for path, update in traverse_util.flatten_dict(updates).items():
            if (path[-1] == "kernel") == of_kernel:
                np.testing.assert_allclose(update, traverse_util.flatten_dict(expected)[path], rtol=1e-5)


TREE = {
    "stem": {"kernel": jnp.linspace(-1, 1, 54).reshape(3, 3, 1, 6), "bias": jnp.linspace(0, 1, 6)},
    "head": {"kernel": jnp.linspace(1, 2, 12).reshape(6, 2)},
}
OF_TREE = jax.tree.map(lambda leaf: jnp.sin(7 * leaf) + 0.1, TREE)


def muon_numbers(params):
    numbers = optax.contrib.MuonDimensionNumbers((0, 1, 2), 3)
    return {"stem": {"kernel": numbers, "bias": None}, "head": {"kernel": None}}


@pytest.mark.parametrize(
    ("name", "arguments", "peer"),
    [
        ("adamw", ("b2=0.95",), lambda: optax.adamw(0.1, b2=0.95, weight_decay=0.01, mask=kernels)),
        ("lion", ("b1=0.8",), lambda: optax.lion(0.1, b1=0.8, weight_decay=0.01, mask=kernels)),
        (
            "lars",
            (),
            lambda: optax.lars(
                0.1, 0.01, weight_decay_mask=kernels, trust_ratio_mask=kernels, momentum=0.9, nesterov=True
            ),
        ),
        (
            "rmsprop",
            ("decay=0.5", "eps=0.001"),
            lambda: optax.chain(
                optax.add_decayed_weights(0.01, kernels),
                optax.rmsprop(0.1, decay=0.5, eps=0.001, initial_scale=1.0, momentum=0.9),
            ),
        ),
        (
            "muon",
            ("ns_steps=2", "nesterov=false"),
            lambda: optax.contrib.muon(
                0.1,
                ns_steps=2,
                nesterov=False,
                weight_decay=0.01,
                weight_decay_mask=kernels,
                muon_weight_dimension_numbers=muon_numbers,
            ),
        ),
        (
            "schedule_free_sgd",
            ("b1=0.8",),
            lambda: optax.contrib.schedule_free(
                optax.chain(optax.add_decayed_weights(0.01, kernels), optax.sgd(0.1)), 0.1, b1=0.8
            ),
        ),
    ],
)
def test_optimizers_are_those_of_optax(name, arguments, peer):
    """But for Muon's decay of the last layer, which optax's masks leave to Adam's."""
    config = OptimizerConfig(0.1, kind=name, arguments=arguments, weight_decay=0.01, schedule="constant")
    results = []
    for optimizer, extra in ((make_optimizer(config, lambda _: 1.0), {"learning_rate": 0.1}), (peer(), {})):
        state, params = optimizer.init(TREE), TREE
        for _ in range(2):
            updates, state = optimizer.update(OF_TREE, state, params, **extra)
            params = optax.apply_updates(params, updates)
        results.append(params)
    ours, theirs = results
    if name == "muon":
        ours["head"], theirs["head"] = {}, {}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6), ours, theirs)
    assert all((new != old).any() for new, old in zip(ours["stem"].values(), TREE["stem"].values(), strict=True))


def test_factors_scale_the_learning_rate_alone():
    config = OptimizerConfig(0.1, weight_decay=0.01, schedule="constant")
    given = {("stem", "kernel"): 0.0, ("head", "kernel"): 10.0}
    whole, factored = (make_optimizer(config, lambda _: 1.0, factors) for factors in ({}, given))
    plain, _ = whole.update(OF_TREE, whole.init(TREE), TREE, learning_rate=0.1)
    scaled, _ = factored.update(OF_TREE, factored.init(TREE), TREE, learning_rate=0.1)
    assert not scaled["stem"]["kernel"].any()
    np.testing.assert_array_equal(scaled["stem"]["bias"], plain["stem"]["bias"])
    np.testing.assert_allclose(scaled["head"]["kernel"], 10 * plain["head"]["kernel"], rtol=1e-6)


def steps_of(kind, number):
    """Parameters after steps with the settings, parameters and gradients that timm's optimizer got."""
    config = OptimizerConfig(kind=kind, nesterov=False, schedule="constant", **rule.OPTIMIZER)
    optimizer = make_optimizer(config, lambda _: 1.0)
    params = in_float64(rule.parameters())
    state = optimizer.init(params)
    for step in range(number):
        gradient = in_float64({name: rule.gradient(name, step) for name in rule.parameters()})
        updates, state = optimizer.update(gradient, state, params, learning_rate=rule.OPTIMIZER["learning_rate"])
        params = optax.apply_updates(params, updates)
    return {"/".join(path): np.asarray(leaf) for path, leaf in traverse_util.flatten_dict(params).items()}


def in_float64(arrays):
    nested = traverse_util.unflatten_dict({tuple(name.split("/")): array for name, array in arrays.items()})
    return jax.tree.map(lambda array: jnp.asarray(array, jnp.float64), nested)


@pytest.mark.parametrize("kind", ["lars", "lamb"])
def test_steps_of_large_batches_are_timms(kind, x64):
    """With timm's `always_adapt` for the kernels, and no clipping."""
    ours, theirs = steps_of(kind, 3), np.load(FIXTURES / "optimizers" / f"{kind}.npz")
    for name, leaf in ours.items():
        np.testing.assert_allclose(leaf, theirs[name], rtol=1e-10, atol=1e-12)


def test_the_decay_of_lars_is_in_the_gradients_norm_and_timms_beside_it(x64):
    ours, theirs = steps_of("lars", 1), np.load(FIXTURES / "optimizers" / "lars_own_decay.npz")
    decay = rule.OPTIMIZER["weight_decay"]
    for name, weight in rule.parameters().items():
        gradient, ratio = rule.gradient(name, 0).astype(np.float64), 1.0
        if "kernel" in name:
            ratio = (norm(gradient) + decay * norm(weight)) / norm(gradient + decay * weight)
        np.testing.assert_allclose(ours[name] - weight, ratio * (theirs[name] - weight), rtol=1e-7)


def test_a_polynomial_ends_at_zero():
    config = OptimizerConfig(learning_rate=1.0, schedule="polynomial", warmup="2 epochs")
    np.testing.assert_allclose(rates(config, [10, 20, 40, 60, 100]), [0.5, 1.0, 0.5625, 0.25, 0.0], atol=1e-6)
