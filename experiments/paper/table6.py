"""Table 6: ResNet-152 on Places365, plain and with SE, by the recipe of se_resnet50.py.

Command:  python launch.py sweep --config=experiments/paper/table6.py
          with --config.data.name=places365 --config.data.data_dir=DIRECTORY for one that `launch.py prepare` made
Hardware: 8 GPUs or more; both runs 17 hours of 8 A100 at 408 TFLOP/s
Paper:    top-1 / top-5 error 41.15 / 11.61, with SE 40.37 / 11.01, on Places365-Challenge, which has 8 million training
          images; `places365_small` of TFDS has the 1.8 million of Places365-Standard at 256x256 pixels
Measured: not trained here
"""

from senet_jax.config import Experiment
from senet_jax.experiments.cifar10.se_against_plain import PAIR
from senet_jax.experiments.imagenet import se_resnet50
from senet_jax.sweep import Sweep


def get_config() -> Experiment:
    """100 epochs from random values, as the paper trains on ImageNet; it does not say the schedule for Places365."""
    config = se_resnet50.get_config()
    config.model.name = "se_resnet152"
    config.data.name = "places365_small"
    return config


def sweep() -> Sweep:
    """Two runs."""
    return PAIR.against("no SE")
