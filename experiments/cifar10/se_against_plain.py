"""SE-ResNet-20 against ResNet-20 on CIFAR-10, and variants of its SE block: a short recipe, five seeds each.

Command:  python launch.py sweep --config=experiments/cifar10/se_against_plain.py
          with --config.data.name=folder --config.data.path=DIRECTORY for images in class folders
Paper:    has no SE-ResNet-20; SE-ResNet-110 has 5.21 % error against 6.37 % without SE (table 4)
Measured: 84.34 % accuracy without SE, 84.54 % with it, five seeds; the difference, +0.20 points (95 % interval -0.18 to
          +0.59), is not significant; nor is that of ratio 4, 84.77 %, +0.43 (-0.08 to +0.94), or of SE
          without the squeeze, 84.29 %, -0.05 (-0.69 to +0.59), or before the branch (PRE), 84.66 %, +0.32 (-0.10 to
          +0.74). SE after the sum (POST) has 83.73 %, and is worse than SE by 0.82 points (0.41 to 1.22), on the
          shortcut (Identity) 83.81 %, by 0.73 (0.33 to 1.14), with the maximum as squeeze 84.02 %, by 0.53 (0.25 to
          0.80), and with ReLU gates 83.16 %, by 1.38 (0.97 to 1.79); with tanh gates it has 84.34 %, -0.20 (-0.50 to
          +0.10). 38 minutes a run of the pair on one core of an AMD EPYC. The images were JPEG files, so that
          accuracies compare only roughly with published ones
"""

from senet_jax.config import Experiment
from senet_jax.experiments.cifar10 import se_resnet20
from senet_jax.sweep import Sweep, axis, chain, product, seeds, variant

PAIR = chain(variant("no SE", {"model.attention": "none"}), variant("SE", {}))


def get_config() -> Experiment:
    """12 epochs, cosine schedule; learning_rates.py chose the learning rate."""
    config = se_resnet20.get_config()
    config.duration, config.eval_every, config.checkpoint_every = "12 epochs", "2 epochs", "1 epochs"
    config.optimizer.schedule, config.optimizer.decay_at = "cosine", ()
    config.optimizer.warmup = "1 epochs"
    config.optimizer.weight_decay = 5e-4
    config.optimizer.learning_rate = 0.4
    return config


def sweep() -> Sweep:
    """The pair for every seed, then the other variants."""
    others = chain(
        axis("model.ratio", [4]),
        axis("model.squeeze", ["max", "none"]),
        axis("model.gate", ["relu", "tanh"]),
        axis("model.placement", ["pre", "post", "identity"]),
    )
    return chain(product(seeds(5), PAIR), product(seeds(5), others)).against("no SE")
