"""Small networks of ours, and the state dicts that other projects would have for them, written down independently."""

import zlib

import numpy as np

SMALL = {"stage_sizes": (2, 1, 1, 1), "widths": (4, 8, 16, 32), "stem_width": 8}
"""Fields that make a small network of any ResNet with bottlenecks."""


def cadene(classes=10):
    """State dict of `timm/legacy_seresnet50` with the fields SMALL."""
    names = {"stem": "layer0.", "block": "layer{}.{}", "first": 1, "se": "se_module.fc1 se_module.fc2"}
    return random(_shapes(**names, head="last_linear", classes=classes))


def nvidia(block, first, se_dimensions):
    """State dict of `nvidia/se_resnext101_32x4d` with the fields SMALL and widths (16, 32, 64, 128)."""
    names = {"stem": "", "block": block, "first": first, "se": "squeeze.squeeze squeeze.expand", "head": "fc"}
    inner = {"width": 16, "multiple": 2, "groups": 32, "hidden": 16}
    return random(_shapes(**names, **inner, classes=1000, se_dimensions=se_dimensions))


def random(shapes):
    """Numbers for each name; the running variances are positive."""
    state = {}
    for name, shape in shapes.items():
        values = np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape).astype(np.float32)
        state[name] = np.abs(values) if name.endswith("var") else values
    return state


def _shapes(
    stem, block, first, se, head, classes, width=4, multiple=1, groups=1, hidden=None, se_dimensions=4
):  # fmt: skip
    shapes = {}

    def conv_norm(conv, out, into, size):
        index = conv.rpartition("conv")
        norm = f"{index[0]}bn{index[2]}" if index[1] else conv.replace("downsample.0", "downsample.1")
        shapes[f"{conv}.weight"] = (out, into, size, size)
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{leaf}"] = (out,)
        shapes[f"{norm}.num_batches_tracked"] = ()

    conv_norm(f"{stem}conv1", 8, 3, 7)
    channels = 8
    for stage, blocks in enumerate(SMALL["stage_sizes"]):
        inner, out = width * multiple * 2**stage, 4 * width * 2**stage
        for number in range(blocks):
            name = block.format(stage + first, number)
            conv_norm(f"{name}.conv1", inner, channels, 1)
            conv_norm(f"{name}.conv2", inner, inner // groups, 3)
            conv_norm(f"{name}.conv3", out, inner, 1)
            if number == 0:
                conv_norm(f"{name}.downsample.0", out, channels, 1)
            sizes = (hidden or out // 16, out)
            for layer, shape in zip(se.split(), (sizes, sizes[::-1]), strict=True):
                shapes[f"{name}.{layer}.weight"] = shape + (1,) * (se_dimensions - 2)
                shapes[f"{name}.{layer}.bias"] = shape[:1]
            channels = out
    return shapes | {f"{head}.weight": (classes, channels), f"{head}.bias": (classes,)}
