import jax.numpy as jnp
import numpy as np
import optax
import pytest

from senet_jax.training import metrics

LOGITS = np.random.default_rng(0).normal(size=(8, 7)).astype(np.float32)
LABELS = np.array([0, 1, 2, 3, 4, 5, 6, 0], np.int32)


def test_losses_are_cross_entropy():
    expected = optax.softmax_cross_entropy_with_integer_labels(jnp.array(LOGITS), jnp.array(LABELS))
    np.testing.assert_allclose(metrics.losses(jnp.array(LOGITS), jnp.array(LABELS)), expected, rtol=1e-6)


def test_excluded_classes_do_not_change_the_loss():
    logits = jnp.array([[1.0, -jnp.inf, 2.0]])
    np.testing.assert_allclose(metrics.losses(logits, jnp.array([2])), np.log1p(np.exp(-1)), rtol=1e-6)


def test_label_smoothing_spreads_the_target():
    targets = optax.smooth_labels(jnp.eye(7)[LABELS], 0.1)
    expected = optax.softmax_cross_entropy(jnp.array(LOGITS), targets)
    np.testing.assert_allclose(metrics.losses(jnp.array(LOGITS), jnp.array(LABELS), 0.1), expected, rtol=1e-6)


def test_sums_equal_those_of_numpy_without_masked_examples():
    mask = np.array([True] * 5 + [False] * 3)
    losses = jnp.where(mask, 1.5, jnp.nan)
    sums = metrics.sums(losses, jnp.array(LOGITS), jnp.array(LABELS), jnp.array(mask))
    order = np.argsort(-LOGITS, axis=1)[:5]
    assert sums["count"] == 5
    assert sums["loss"] == 7.5
    assert sums["correct"] == (order[:, 0] == LABELS[:5]).sum()
    assert sums["top5_correct"] == (order[:, :5] == LABELS[:5, None]).any(axis=1).sum()


OTHERS_NAN = np.where(np.eye(7)[LABELS] == 1, 1.0, np.nan)


@pytest.mark.parametrize("logits", [np.zeros((8, 7)), np.full((8, 7), np.nan), OTHERS_NAN])
def test_ties_and_nan_are_wrong(logits):
    sums = metrics.sums(jnp.zeros(8), jnp.float32(logits), jnp.array(LABELS))
    assert sums["correct"] == 0
    assert sums["top5_correct"] == 0


def test_means_are_over_the_examples_of_all_parts():
    a = metrics.sums(jnp.array([1.0, 3.0]), jnp.eye(7)[:2], jnp.array([0, 1]))
    b = metrics.sums(jnp.array([8.0]), jnp.eye(7)[:1], jnp.array([1]))
    assert metrics.means([a, b]) == pytest.approx({"loss": 4.0, "accuracy": 2 / 3, "top5_accuracy": 2 / 3})
    assert metrics.means([metrics.add(a, b)]) == metrics.means([a, b])
