"""Table 2: networks on ImageNet, plain and with SE, by the recipe of se_resnet50.py.

Command:  python launch.py sweep --config=experiments/paper/table2.py --dry_run lists the runs
Hardware: the paper's 32 GPUs; all runs 69 hours of 8 A100 at the 408 TFLOP/s with which NVIDIA trains ResNet-50
Paper:    top-1 / top-5 error, plain and with SE: ResNet-50 24.80 / 7.48, 23.29 / 6.62; ResNet-101 23.17 / 6.52,
          22.38 / 6.07; ResNet-152 22.42 / 6.34, 21.57 / 5.73; ResNeXt-50 22.11 / 5.90, 21.10 / 5.49; ResNeXt-101
          21.18 / 5.57, 20.70 / 5.01; VGG-16 27.02 / 8.81, 25.22 / 7.70; BN-Inception 25.38 / 7.89, 24.23 / 7.14;
          Inception-ResNet-v2 20.37 / 5.21, 19.80 / 4.79
Measured: not trained here
"""

from senet_jax.experiments.cifar10.se_against_plain import PAIR
from senet_jax.experiments.imagenet.se_resnet50 import get_config
from senet_jax.sweep import Sweep, axis, chain, product, variant

__all__ = ["get_config", "sweep"]


def sweep() -> Sweep:
    """16 runs; BN-Inception's weight decay is the authors', Inception-ResNet-v2 sees 299 of 352 pixels."""
    names = {
        "ResNet-50": "se_resnet50",
        "ResNet-101": "se_resnet101",
        "ResNet-152": "se_resnet152",
        "ResNeXt-50": "se_resnext50_32x4d",
        "ResNeXt-101": "se_resnext101_32x4d",
        "VGG-16": "se_vgg16",
    }
    inception = {"model.name": "se_bn_inception", "optimizer.weight_decay": 2e-4}
    larger = {"model.name": "se_inception_resnet_v2", "data.image_size": 299, "data.center_crop": 299 / 352}
    networks = chain(
        axis("model.name", names), variant("BN-Inception", inception), variant("Inception-ResNet-v2", larger)
    )
    return product(networks, PAIR).against("no SE")
