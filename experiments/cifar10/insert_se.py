"""SE put into a trained ResNet-20 on CIFAR-10, against the plain network trained further and SE from the start.

Command:  python launch.py sweep --config=experiments/cifar10/insert_se.py
          with --config.data.name=folder --config.data.path=DIRECTORY for images in class folders, and then
          python launch.py report --workdir=runs/insert_se
Paper:    has no SE in trained networks. ResNet-110 has 6.37 % error, SE-ResNet-110 5.21 % (table 4)
Measured: 82.96 % accuracy plain, 83.29 % with SE put in, 83.52 % with SE from the start, three seeds; no
          difference is significant. A half took 17 to 44 minutes, median 24, on one core of a busy AMD EPYC. The images
          were JPEG files
"""

from senet_jax.config import Experiment
from senet_jax.experiments.cifar10 import se_against_plain
from senet_jax.sweep import Sweep, chain, product, seeds, variant, weights_of

PLAIN = {"model.attention": "none"}


def get_config() -> Experiment:
    """Half the epochs of se_against_plain.py: each half has its warm-up and its cosine to zero."""
    config = se_against_plain.get_config()
    config.duration = "6 epochs"
    config.eval_every = config.checkpoint_every = "1 epochs"
    config.init.head, config.init.preprocessing = "keep", "config"
    return config


def sweep() -> Sweep:
    """Two first halves, and three second ones from their weights: as many steps and the same schedules for all three.

    The optimizer's state begins anew in each second half, with SE or without.
    """
    plain, with_se = "plain, first half", "SE, first half"
    halves = chain(
        variant(plain, PLAIN),
        variant(with_se, {}),
        variant("plain", PLAIN | {"init.weights": weights_of(plain)}),
        variant("SE inserted", {"init.weights": weights_of(plain), "init.insert_se": True}),
        variant("SE", {"init.weights": weights_of(with_se)}),
    )
    return product(seeds(3), halves).against("plain")
