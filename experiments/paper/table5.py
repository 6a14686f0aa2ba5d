"""Table 5: networks on CIFAR-100, plain and with SE, by the recipes of table4.py.

Command:  python launch.py sweep --config=experiments/paper/table5.py
Hardware: one GPU; all runs 83 hours of an A100 at 61 TFLOP/s, which the narrow ResNets do not reach
Paper:    error, plain and with SE: ResNet-110 26.88, 23.85; ResNet-164 24.33, 21.31; WRN-16-8 20.43, 19.14; Shake-Even
          29 2x4x64d with Cutout 15.85, 15.41, of which Shake-Shake's authors give 15.85 without Cutout
Measured: not trained here
"""

from senet_jax.config import Experiment
from senet_jax.experiments.paper import table4
from senet_jax.sweep import Sweep, variant


def get_config() -> Experiment:
    """The recipe of table4.py, with mean and std of CIFAR-100."""
    config = table4.get_config()
    config.data.name = "cifar100"
    config.data.mean, config.data.std = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
    return config


def sweep() -> Sweep:
    """24 runs: three seeds each."""
    shake = {
        "model.name": "se_shake29_2x4x64d_cifar",
        "batch_size": 32,
        "optimizer.learning_rate": 0.025,
        "optimizer.weight_decay": 5e-4,
        "data.cutout": 8,
    }
    return table4.networks(variant("Shake-Even 29 2x4x64d", table4.SHAKE | shake))
