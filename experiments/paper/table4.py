"""Table 4: networks on CIFAR-10, plain and with SE, each by the recipe of its own paper.

Command:  python launch.py sweep --config=experiments/paper/table4.py
          with --config.data.name=folder --config.data.path=DIRECTORY for images in class folders
Hardware: one GPU; all runs 59 hours of an A100 at 61 TFLOP/s, which the narrow ResNets do not reach
Paper:    error, plain and with SE: ResNet-110 6.37, 5.21; ResNet-164 5.46, 4.39; WRN-16-8 4.27, 3.88; Shake-Shake 26
          2x96d with Cutout 2.56, 2.12
Measured: not trained here
"""

from senet_jax.config import Experiment
from senet_jax.experiments.cifar10 import se_resnet20
from senet_jax.experiments.cifar10.se_against_plain import PAIR
from senet_jax.sweep import Sweep, axis, chain, product, seeds, variant


def get_config() -> Experiment:
    """The recipe of pre-activation ResNets (arXiv 1603.05027), with a warm-up of 400 steps."""
    config = se_resnet20.get_config()
    config.model.name = "se_preact_resnet110_cifar"
    config.optimizer.warmup = "400 steps"
    return config


def networks(shake: Sweep) -> Sweep:
    """The networks of tables 4 and 5, which have another Shake-Shake each."""
    names = {"ResNet-110": "se_preact_resnet110_cifar", "ResNet-164": "se_preact_resnet164_cifar"}
    wide = {
        "model.name": "se_wrn16_8_cifar",
        "duration": "200 epochs",
        "optimizer.nesterov": True,
        "optimizer.weight_decay": 5e-4,
        "optimizer.warmup": "0 steps",
        "optimizer.decay_at": ("60 epochs", "120 epochs", "160 epochs"),
        "optimizer.decay_factor": 0.2,
    }
    return product(chain(axis("model.name", names), variant("WRN-16-8", wide), shake), PAIR, seeds(3)).against("no SE")


SHAKE = {
    "duration": "1800 epochs",
    "optimizer.nesterov": True,
    "optimizer.schedule": "cosine",
    "optimizer.decay_at": (),
    "optimizer.warmup": "0 steps",
}
"""The schedule and the momentum of Shake-Shake (arXiv 1705.07485, and its authors' code)."""


def sweep() -> Sweep:
    """24 runs: three seeds each."""
    shake = {"model.name": "se_shake26_2x96d_cifar", "optimizer.learning_rate": 0.2, "data.cutout": 16}
    return networks(variant("Shake-Shake 26 2x96d", SHAKE | shake))
