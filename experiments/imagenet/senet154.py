"""SENet-154 on ImageNet by the recipe of its authors (appendix of arXiv 1709.01507, and the README of their networks).

Command:  python launch.py --config=experiments/imagenet/senet154.py --config.model.dtype=bfloat16
          with --config.data.data_dir=DIRECTORY of an ImageNet that `python launch.py prepare` made
Recipe:   batches of 2,048, statistics over 32 images, learning rate 1, label smoothing, dropout 0.2, mirror images,
          crops of 8 to 100 %, rotation by 10 degrees and pixel jitter of 20 either way
Ours:     100 epochs with a warm-up of 5 and a decay every 30, weight decay 1e-4 and smoothing 0.1, which the authors do
          not state, and pixel jitter of each value by itself, which they do not state either; they froze batch
          normalisation in the last few epochs, five here
Paper:    18.68 % top-1 and 4.47 % top-5 error at 224x224; 17.28 and 3.79 % at 320x320
Measured: not yet
"""

from senet_jax.config import Experiment
from senet_jax.experiments.imagenet import se_resnet50


def get_config() -> Experiment:
    """The recipe of se_resnet50.py with batches of 2,048, a warm-up, label smoothing and more augmentation."""
    config = se_resnet50.get_config()
    config.model.name = "senet154"
    config.data.rotation, config.data.pixel_jitter = 10.0, 20
    config.optimizer.learning_rate, config.optimizer.warmup = 1.0, "5 epochs"
    config.optimizer.label_smoothing = 0.1
    config.batch_size = 2048
    config.freeze_statistics_at = "95 epochs"
    return config
