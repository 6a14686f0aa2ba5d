"""ResNet-20, 56 and 110 on CIFAR-10, plain and with SE, three seeds each, by the full recipe of se_resnet20.py.

Command:  python launch.py sweep --config=experiments/cifar10/depths.py --jobs=3 on one GPU; the same command goes on
          ...depths.py:0.01 to try it with a hundredth of the steps
Paper:    ResNet-20, 56 and 110 have 8.75, 6.97 and 6.43 % error (arXiv 1512.03385, table 6, the last with a warm-up);
          pre-activation networks of 110 layers 6.37 %, with SE 5.21 % (table 4; trained by experiments/paper/table4.py)
Measured: not trained; after a hundredth of the steps 58.63 and 60.27 % accuracy for 20 layers without and with SE,
          39.36 and 57.70 % for 56, 22.02 and 48.20 % for 110 (experiments/results/depths_trial.csv), on two CPU
          cores, from JPEG files of the images
"""

from senet_jax.config import Experiment
from senet_jax.experiments.cifar10 import se_resnet20
from senet_jax.experiments.cifar10.se_against_plain import PAIR
from senet_jax.sweep import Sweep, axis, product, seeds


def get_config(scale: str = "1") -> Experiment:
    """The recipe, its 64,000 steps times the scale."""
    try:
        steps = round(64000 * float(scale))
    except ValueError:
        raise ValueError(f"the argument is {scale!r}; it must be a number, such as 0.01") from None
    config = se_resnet20.get_config()
    config.duration = f"{steps} steps"
    config.optimizer.decay_at = (f"{steps // 2} steps", f"{3 * steps // 4} steps")
    return config


def sweep() -> Sweep:
    """18 runs, one seed after the other; each network is compared with its plain twin."""
    names = {f"ResNet-{depth}": f"se_resnet{depth}_cifar" for depth in (20, 56, 110)}
    return product(seeds(3), axis("model.name", names), PAIR).against("no SE")
