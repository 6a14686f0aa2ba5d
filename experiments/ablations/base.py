"""Base of the ablations: SE-ResNet without biases in its dense layers (paper, section 6), on three datasets.

Command:  python launch.py sweep --config=experiments/ablations/reduction_ratio.py --workdir=DIRECTORY
          on CIFAR-10; with --config.data.name=folder --config.data.path=DIRECTORY on its images in class folders
          ...reduction_ratio.py:digits to try it out, ...reduction_ratio.py:imagenet for the paper's SE-ResNet-50
Paper:    SE-ResNet-50 has 22.20 % top-1 and 6.00 % top-5 error by this recipe, against 23.21 and 6.53 % without SE
          (section 6, footnote 2); tables 10 to 16 use a recipe that waits for plateaus instead: 22.28 and 6.03 %
          against 23.30 and 6.55 %
"""

from senet_jax.config import Experiment
from senet_jax.experiments import digits
from senet_jax.experiments.cifar10 import se_resnet20
from senet_jax.experiments.imagenet import se_resnet50
from senet_jax.sweep import variant

NO_SE = variant("no SE", {"model.attention": "none"})


def get_config(dataset: str = "cifar10") -> Experiment:
    """The recipe of se_resnet20.py ("cifar10"), a short one ("digits"), or the paper's own ("imagenet")."""
    recipes = {"cifar10": se_resnet20.get_config, "digits": digits.get_config, "imagenet": se_resnet50.get_config}
    if dataset not in recipes:
        raise ValueError(f"the argument is {dataset!r}; it must be one of {', '.join(recipes)}")
    config = recipes[dataset]()
    config.model.use_bias = False
    if dataset == "digits":
        config.duration = "10 epochs"
    if dataset == "imagenet":
        config.duration, config.batch_size = "270 epochs", 256
        config.optimizer.learning_rate, config.optimizer.label_smoothing = 0.1, 0.1
        config.optimizer.decay_at = ("125 epochs", "200 epochs", "250 epochs")
    return config
