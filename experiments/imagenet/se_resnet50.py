"""SE-ResNet-50 on ImageNet by the paper's recipe (section 5.1, table 2).

Command:  python launch.py --config=experiments/imagenet/se_resnet50.py
          on accelerators with --config.model.dtype=bfloat16; with --config.data.data_dir=DIRECTORY of an ImageNet
          that `python launch.py prepare` made
Hardware: the paper's 32 GPUs had 32 images each, so batch normalisation has groups of 32 on any number of devices
Paper:    23.29 % top-1 and 6.62 % top-5 error at 224x224, against 24.80 and 7.48 % without SE
Measured: not yet
"""

from senet_jax.config import DataConfig, Experiment, ModelConfig, OptimizerConfig


def get_config() -> Experiment:
    """100 epochs of batches of 1,024, the learning rate divided by 10 every 30."""
    return Experiment(
        model=ModelConfig("se_resnet50", statistics_group=32),
        data=DataConfig(
            "imagenet2012",
            test_split="validation",
            image_size=224,
            mean=(0.485, 0.456, 0.406),
            std=(1 / 255,),  # Only the mean is subtracted, from pixels of 0 to 255.
            random_resized_crop=True,
            flip=True,
            center_crop=0.875,
            workers=16,
        ),
        optimizer=OptimizerConfig(
            learning_rate=0.6,
            momentum=0.9,
            nesterov=False,
            weight_decay=1e-4,
            schedule="step",
            decay_at=("30 epochs", "60 epochs", "90 epochs"),
        ),
        duration="100 epochs",
        batch_size=1024,
        eval_batch_size=1024,
        log_every="100 steps",
    )
