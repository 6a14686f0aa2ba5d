"""SE-ResNet-20 on scikit-learn's handwritten digits: real images, no download, minutes on a laptop's CPU.

Command: python launch.py
"""

from senet_jax.config import DataConfig, Experiment, ModelConfig, OptimizerConfig


def get_config() -> Experiment:
    """1797 grey images of 8 x 8 pixels in ten classes."""
    return Experiment(
        model=ModelConfig(name="se_resnet20_cifar"),
        data=DataConfig(name="digits", image_size=8, mean=(0.5,), deviation=(0.25,), crop_padding=1),
        optimizer=OptimizerConfig(learning_rate=0.1, warmup="1 epochs", weight_decay=1e-4),
        duration="20 epochs",
        batch_size=128,
    )
