"""Table 3: MobileNet and ShuffleNet on ImageNet, plain and with SE.

Command:  python launch.py sweep --config=experiments/paper/table3.py --dry_run lists the runs
Hardware: the paper's 8 GPUs; all runs 3 hours of 8 A100 at 408 TFLOP/s, which depthwise convolutions do not reach
Paper:    top-1 / top-5 error, plain and with SE: MobileNet 28.4 / 9.4, 25.3 / 7.7; ShuffleNet 32.6 / 12.5, 31.0 / 11.1
Measured: not trained here
"""

from senet_jax.config import Experiment
from senet_jax.experiments.cifar10.se_against_plain import PAIR
from senet_jax.experiments.imagenet import se_resnet50
from senet_jax.sweep import Sweep, axis, product


def get_config() -> Experiment:
    """400 epochs of batches of 256, with the crops of ResNets.

    The paper divides the learning rate at three plateaus, this at fixed times; and it augments slightly less than for
    ResNets, without saying how.
    """
    config = se_resnet50.get_config()
    config.model.name = "se_mobilenet"
    config.duration, config.batch_size = "400 epochs", 256
    config.optimizer.learning_rate, config.optimizer.weight_decay = 0.1, 4e-5
    config.optimizer.decay_at = ("200 epochs", "300 epochs", "360 epochs")
    return config


def sweep() -> Sweep:
    """Four runs."""
    return product(axis("model.name", {"MobileNet": "se_mobilenet", "ShuffleNet": "se_shufflenet"}), PAIR).against(
        "no SE"
    )
