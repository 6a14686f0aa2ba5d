"""Mixed images have the labels of both."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from networks import Linear

from senet_jax.config import DataConfig, Experiment, OptimizerConfig
from senet_jax.training.state import init_state
from senet_jax.training.step import _augmented as augmented
from senet_jax.training.step import _losses as step_losses
from senet_jax.training.step import make_train_step

SGD = optax.sgd(0.1, momentum=0.9)


@pytest.mark.parametrize("options", [{"mixup": 1.0}, {"cutmix": 1.0}, {"mixup": 1.0, "repeats": 2}])
def test_labels_are_mixed_as_their_images_are(options):
    """The value of an image is its label."""
    labels = np.array([3, 9, 20, 40, 80, 160, 200, 250], np.int32)
    images = np.broadcast_to(labels[:, None, None, None], (8, 6, 6, 1)).astype(np.uint8)
    for step in range(4):
        mixed = augmented(
            {"image": jnp.array(images), "label": jnp.array(labels)},
            DataConfig(mean=(0.0,), std=(1.0,), **options),
            0,
            jnp.int32(step),
        )
        label, other, share = (np.asarray(mixed[name]) for name in ("label", "other", "share"))
        np.testing.assert_array_equal(label, labels)
        np.testing.assert_array_equal(other, np.roll(labels, options.get("repeats", 1)))
        found = 255 * np.asarray(mixed["image"]).mean((1, 2, 3))
        np.testing.assert_allclose(found, share * label + (1 - share) * other, rtol=1e-4)


def test_copies_of_an_image_are_mixed_with_those_of_another():
    rng = np.random.default_rng(0)
    batch = {"image": rng.integers(0, 256, (16, 8, 8, 1), np.uint8), "label": np.arange(16) % 10}
    state = init_state(Linear(), SGD, (8, 8, 1), seed=0, average=False)

    def gradient(examples, repeats):
        config = Experiment(data=DataConfig(mixup=0.3, repeats=repeats))
        return jax.jit(make_train_step(Linear(), SGD, config))(state, examples).optimizer_state

    copies = jax.tree.map(lambda x: jnp.repeat(x, 2, axis=0), batch)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7), gradient(copies, 2), gradient(batch, 1))


@pytest.mark.parametrize(("loss", "smoothing"), [("cross_entropy", 0.1), ("binary_cross_entropy", 0.0)])
def test_mixed_examples_have_both_labels(loss, smoothing):
    logits = np.random.default_rng(0).normal(size=(2, 4))
    examples = {"label": jnp.array([0, 1]), "other": jnp.array([3, 1]), "share": jnp.array([0.7, 0.7])}
    losses = step_losses(jnp.array(logits), examples, OptimizerConfig(loss=loss, label_smoothing=smoothing))
    targets = (1 - smoothing) * np.array([[0.7, 0, 0, 0.3], [0, 1, 0, 0]]) + smoothing / 4
    p, log_p = 1 / (1 + np.exp(-logits)), logits - np.log(np.exp(logits).sum(1, keepdims=True))
    expected = {
        "cross_entropy": -(targets * log_p).sum(1),
        "binary_cross_entropy": -np.where(targets > 0.2, np.log(p), np.log(1 - p)).mean(1),
    }
    np.testing.assert_allclose(losses, expected[loss], rtol=1e-4)
