"""SENet-154 on ImageNet by the recipe of its authors (appendix of arXiv 1709.01507, and the README of their networks).

Command:  python launch.py --config=experiments/imagenet/senet154.py --config.model.dtype=bfloat16
          with --config.data.data_dir=DIRECTORY of an ImageNet that `python launch.py prepare` made
Recipe:   batches of 2,048, statistics over 32 images, learning rate 1, label smoothing, dropout 0.2, mirror images,
          crops of 8 to 100 %, rotation by 10 degrees and pixel jitter of 20 either way
Ours:     100 epochs with a warm-up of 5 and a decay every 30, weight decay 1e-4 and smoothing 0.1, which the authors do
          not state; they froze batch normalisation in the last epochs, which is not done here
Paper:    18.68 % top-1 and 4.47 % top-5 error at 224x224; 17.28 and 3.79 % at 320x320
Measured: not yet
"""

from senet_jax.config import DataConfig, Experiment, ModelConfig, OptimizerConfig


def get_config() -> Experiment:
    """100 epochs of batches of 2,048, the learning rate divided by 10 every 30."""
    return Experiment(
        model=ModelConfig("senet154", statistics_group=32),
        data=DataConfig(
            "imagenet2012",
            test_split="validation",
            image_size=224,
            mean=(0.485, 0.456, 0.406),
            std=(1 / 255,),
            random_resized_crop=True,
            flip=True,
            rotation=10.0,
            pixel_jitter=20,
            center_crop=0.875,
            workers=16,
        ),
        optimizer=OptimizerConfig(
            learning_rate=1.0,
            nesterov=False,
            weight_decay=1e-4,
            schedule="step",
            warmup="5 epochs",
            decay_at=("30 epochs", "60 epochs", "90 epochs"),
            label_smoothing=0.1,
        ),
        duration="100 epochs",
        batch_size=2048,
        eval_batch_size=1024,
        log_every="100 steps",
    )
