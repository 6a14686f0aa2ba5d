"""ResNet-20 on CIFAR-10: the twin of se_resnet20.py without squeeze-and-excitation, and nothing else changed.

Command:  python launch.py --config=experiments/cifar10/resnet20.py
Paper:    8.75 % error (arXiv 1512.03385, table 6).
"""

from senet_jax.config import Experiment
from senet_jax.experiments.cifar10 import se_resnet20


def get_config() -> Experiment:
    """The recipe of se_resnet20.py."""
    config = se_resnet20.get_config()
    config.model.name = "resnet20_cifar"
    return config
