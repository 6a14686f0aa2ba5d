"""Trained weights fine-tuned on your own images, in folders by class.

Command:  python launch.py --config=experiments/finetune.py:NETWORK --config.init.weights=SOURCE
          --config.data.path=DIRECTORY
Images:   DIRECTORY/train/<class>/<image> and DIRECTORY/test/<class>/<image>
Measured: not yet
"""

from senet_jax.config import DataConfig, Experiment, InitConfig, ModelConfig, OptimizerConfig


def get_config(network: str = "timm/seresnet50") -> Experiment:
    """10 epochs of AdamW from timm's SE-ResNet-50, the layers near the images at lower rates."""
    return Experiment(
        model=ModelConfig(network),
        data=DataConfig("folder", path="images", random_resized_crop=True, flip=True),
        optimizer=OptimizerConfig(
            kind="adamw",
            learning_rate=3e-4,
            weight_decay=0.05,
            layer_decay=0.9,
            warmup="1 epochs",
            label_smoothing=0.1,
        ),
        duration="10 epochs",
        batch_size=32,
        init=InitConfig(weights="timm/seresnet50.ra2_in1k"),
    )
