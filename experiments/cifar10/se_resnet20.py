"""SE-ResNet-20 on CIFAR-10 by the paper's recipe (section 5.1), which is that of the ResNet paper (section 4.2).

Command:  python launch.py --config=experiments/cifar10/se_resnet20.py
          or, for images in class folders, with --config.data.name=folder --config.data.path=DIRECTORY
Paper:    has no SE-ResNet-20. ResNet-20 has 8.75 % error (arXiv 1512.03385, table 6); SE-ResNet-110 5.21 % against
          6.37 % without SE (table 4).
"""

from senet_jax.config import DataConfig, Experiment, ModelConfig, OptimizerConfig


def get_config() -> Experiment:
    """64,000 steps of 128 images, the learning rate divided by 10 after 32,000 and 48,000."""
    return Experiment(
        model=ModelConfig("se_resnet20_cifar"),
        data=DataConfig(
            "cifar10",
            image_size=32,
            mean=(0.4914, 0.4822, 0.4465),
            std=(0.2470, 0.2435, 0.2616),
            crop_padding=4,
            flip=True,
        ),
        optimizer=OptimizerConfig(
            learning_rate=0.1,
            momentum=0.9,
            nesterov=False,
            weight_decay=1e-4,
            schedule="step",
            decay_at=("32000 steps", "48000 steps"),
        ),
        duration="64000 steps",
        batch_size=128,
    )
