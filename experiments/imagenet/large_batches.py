"""SE-ResNet-50 on ImageNet in batches of 4,096 to 32,768 images, by LARS, LAMB or Nesterov momentum.

Command:  python launch.py --config=experiments/imagenet/large_batches.py:lars-32k --config.model.dtype=bfloat16
          with lars, lamb or nesterov, and 4k, 8k, 16k or 32k; with --config.data.data_dir=DIRECTORY of an ImageNet that
          `python launch.py prepare` made; `plan` says whether a batch fits on the chips, else --config.accumulate=N
Recipe:   LARS and Nesterov momentum as in the public JAX code of MLPerf v0.7 for ResNet-50: label smoothing 0.1,
          statistics over 64 images. LARS: learning rate 10 (4k, 8k), 25 (16k) or 29 (32k), to zero by the square, trust
          ratios of the kernels alone. Nesterov: 0.1 for each 256 images, divided by 10 at 1/3, 2/3 and 8/9 of the time.
          LAMB for 32k as in the code of its first author (github.com/fastalgo/imagenet_resnet50_lamb): 90 epochs,
          of which 20 are the warm-up to 0.04, then a straight line to zero; decay 1.5, gradients of a norm of at most 1
Ours:     LAMB below 32k: the rate by the square root and the warm-up in proportion (arXiv 1904.00962), the same decay;
          biases have none; the trust ratio of LARS has the norm of the gradient with its decay, as optax has
          it; that code adds two norms. LAMB's means have Adam's correction of the first steps; its author's have none
Peer:     75.9 % top-1 accuracy of ResNet-50 without SE is MLPerf's target, which runs by that code reached; LAMB 76.3 %
          with 32k, by its README
Measured: not yet
"""

from senet_jax.config import Experiment, OptimizerConfig
from senet_jax.experiments.imagenet import se_resnet50

BATCHES = {"4k": 4096, "8k": 8192, "16k": 16384, "32k": 32768}


def get_config(recipe: str = "lars-32k") -> Experiment:
    """The data of se_resnet50.py, and the optimizer and the batch of a recipe such as "lamb-8k"."""
    kind, _, batch = recipe.partition("-")
    recipes = {"lars": _lars, "lamb": _lamb, "nesterov": _nesterov}
    if kind not in recipes or batch not in BATCHES:
        raise ValueError(
            f"the recipe is {recipe!r}; it must be one of {', '.join(recipes)}, - and {', '.join(BATCHES)}"
        )
    config = se_resnet50.get_config()
    config.model.statistics_group = 64
    config.batch_size = BATCHES[batch]
    config.optimizer, epochs = recipes[kind](BATCHES[batch])
    config.optimizer.label_smoothing = 0.1
    config.duration = f"{epochs} epochs"
    return config


def _lars(batch: int) -> tuple[OptimizerConfig, int]:
    """The optimizer and the epochs."""
    largest = batch == 32768
    optimizer = OptimizerConfig(
        kind="lars",
        learning_rate=29.0 if largest else 25.0 if batch == 16384 else 10.0,
        momentum=0.929 if largest else 0.9,
        nesterov=False,
        weight_decay=1e-4 if largest else 2e-4,
        schedule="polynomial",
        decay_power=2.0,
        warmup="18 epochs" if largest else "5 epochs",
    )
    return optimizer, 64 if largest else 56


def _nesterov(batch: int) -> tuple[OptimizerConfig, int]:
    """The optimizer and the epochs, with momentum and decay of LARS."""
    lars, epochs = _lars(batch)
    optimizer = OptimizerConfig(
        learning_rate=0.1 * batch / 256,
        momentum=lars.momentum,
        nesterov=True,
        weight_decay=lars.weight_decay,
        schedule="step",
        decay_at=tuple(f"{epochs * share:.4g} epochs" for share in (1 / 3, 2 / 3, 8 / 9)),
        warmup="5 epochs",
    )
    return optimizer, epochs


def _lamb(batch: int) -> tuple[OptimizerConfig, int]:
    """The optimizer and the epochs."""
    share = batch / 32768
    optimizer = OptimizerConfig(
        kind="lamb",
        learning_rate=0.04 * share**0.5,
        weight_decay=1.5,
        clip_norm=1.0,
        schedule="polynomial",
        decay_power=1.0,
        warmup=f"{20 * share:g} epochs",
    )
    return optimizer, 90
