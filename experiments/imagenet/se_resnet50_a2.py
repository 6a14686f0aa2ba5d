"""SE-ResNet-50 on ImageNet by a modern recipe, near to A2 of "ResNet strikes back" (arXiv 2110.00476).

Command:  python launch.py --config=experiments/imagenet/se_resnet50_a2.py --config.model.dtype=bfloat16
          with --config.data.data_dir=DIRECTORY of an ImageNet that `python launch.py prepare` made; with
          --config.accumulate=4 if a batch of 2,048 does not fit
Recipe:   LAMB with gradients clipped at a norm of 1, 300 epochs of batches of 2,048, binary cross entropy, RandAugment
          of magnitude 7, mixup 0.1, cutmix 1, stochastic depth 0.05, three copies of each image (repeated
          augmentation), evaluation at a crop of 0.95
Peer:     timm's seresnet50.a2_in1k has 80.10 % top-1 accuracy at 224x224 and 81.09 % at 288x288
Measured: not yet
"""

from senet_jax.config import DataConfig, Experiment, ModelConfig, OptimizerConfig


def get_config() -> Experiment:
    """300 epochs of batches of 2,048 by LAMB."""
    return Experiment(
        model=ModelConfig("timm/seresnet50", drop_path=0.05),
        data=DataConfig(
            "imagenet2012",
            test_split="validation",
            image_size=224,
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
            random_resized_crop=True,
            flip=True,
            rand_augment=7.0,
            mixup=0.1,
            cutmix=1.0,
            repeats=3,
            center_crop=0.95,
            interpolation="bicubic",
            workers=32,
        ),
        optimizer=OptimizerConfig(
            kind="lamb",
            learning_rate=5e-3,
            weight_decay=0.02,
            clip_norm=1.0,
            warmup="5 epochs",
            loss="binary_cross_entropy",
        ),
        duration="300 epochs",
        batch_size=2048,
        eval_batch_size=1024,
        log_every="100 steps",
    )
