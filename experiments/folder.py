"""SE-ResNet on your own images, in folders by class.

Command:  python launch.py --config=experiments/folder.py --config.data.path=DIRECTORY
          with experiments/folder.py:224 for photographs in which details matter
Images:   DIRECTORY/train/<class>/<image> and DIRECTORY/test/<class>/<image>
Measured: not yet
"""

from senet_jax.config import DataConfig, Experiment, ModelConfig, OptimizerConfig


def get_config(size: str = "64") -> Experiment:
    """30 epochs of SE-ResNet-18 at 64x64 pixels, or of SE-ResNet-50 at 224x224, from random parameters."""
    if size not in ("64", "224"):
        raise ValueError(f"the argument is {size!r}; it must be 64 or 224")
    large = size == "224"
    return Experiment(
        model=ModelConfig("se_resnet50" if large else "se_resnet18"),
        data=DataConfig(
            "folder",
            path="images",
            image_size=int(size),
            mean=(0.485, 0.456, 0.406),  # ImageNet's mean and std of red, green and blue.
            std=(0.229, 0.224, 0.225),
            random_resized_crop=True,
            flip=True,
            center_crop=0.875,
        ),
        optimizer=OptimizerConfig(learning_rate=0.1, weight_decay=1e-4, warmup="1 epochs", label_smoothing=0.1),
        duration="30 epochs",
        batch_size=64,
    )
