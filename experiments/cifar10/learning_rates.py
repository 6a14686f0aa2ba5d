"""The learning rate of se_against_plain.py, chosen for the plain network alone, on 5,000 of the training images.

Command:  python launch.py sweep --config=experiments/cifar10/learning_rates.py
          with --config.data.name=folder --config.data.path=DIRECTORY for images in class folders
Measured: seed 0 on one H200 gave 81.90, 83.80, 83.56 and 84.64 % for 0.05, 0.1, 0.2 and 0.4,
          the largest tried; seed 1 not trained
"""

from senet_jax.config import Experiment
from senet_jax.experiments.cifar10 import se_against_plain
from senet_jax.sweep import Sweep, axis, product, seeds


def get_config() -> Experiment:
    """The recipe without SE. The test images are not seen."""
    config = se_against_plain.get_config()
    config.model.attention = "none"
    config.data.train_split, config.data.test_split = "train[:45000]", "train[45000:]"
    return config


def sweep() -> Sweep:
    """Eight runs."""
    return product(axis("optimizer.learning_rate", [0.05, 0.1, 0.2, 0.4]), seeds(2))
