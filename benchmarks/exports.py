"""Tries the export of networks: `python -m benchmarks.exports --output=exports.csv [--format=onnx] [PATTERN...]`.

By default every network of the registry is written as StableHLO; with --format=onnx, one of each family as ONNX. The
images are small, the parameters random, and each file is compared with JAX for batches of 1 and 3. The row of a network
says the largest difference over the largest logit, or the fault.
"""

import argparse
import csv
import fnmatch
import tempfile
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from senet_jax import create_model, list_models
from senet_jax.config import ModelConfig
from senet_jax.weights import Preprocessing
from senet_jax.weights.source import Loaded

_FAMILIES = [
    "se_resnet18", "timm/resnext50_32x4d", "timm/seresnet18", "timm/seresnet33ts", "timm/ecaresnet26t",
    "timm/seresnetaa50d", "se_bn_inception", "se_inception_resnet_v2", "se_vgg11", "se_mobilenet", "se_shufflenet",
    "se_preact_resnet20_cifar", "se_wrn16_8_cifar", "se_shake26_2x32d_cifar", "se_resnet20_cifar", "senet154",
]  # fmt: skip


def _loaded(name: str) -> Loaded:
    """The network for ten classes with random variables: kernels of unit gain, scales near 1, all else near 0."""
    size = 224 if "vgg" in name else 96 if "inception" in name else 32
    network, random = create_model(name, 10), np.random.default_rng(0)
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    shapes = jax.eval_shape(lambda x: network.init(jax.random.key(0), x, train=False), images)

    def fill(path: Any, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        kind = path[-1].key
        if kind == "kernel":
            return random.normal(0, np.prod(leaf.shape[:-1]) ** -0.5, leaf.shape).astype(np.float32)
        return (random.uniform(-0.1, 0.1, leaf.shape) + (kind in ("scale", "var"))).astype(np.float32)

    variables = jax.tree.map_with_path(fill, shapes)
    return Loaded(network, variables, Preprocessing(size), (), ModelConfig(name), "random")


def main() -> None:
    """Writes the table, row by row, and says each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*")
    parser.add_argument("--format", choices=("stablehlo", "onnx"), default="stablehlo")
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    if given.format == "onnx":
        from senet_jax.export.onnx import write_onnx as write
    else:
        from senet_jax.export.stablehlo import write_stablehlo as write
    names = _FAMILIES if given.format == "onnx" else list_models()
    if given.patterns:
        names = [name for name in list_models() if any(fnmatch.fnmatch(name, each) for each in given.patterns)]
    with given.output.open("w") as file, tempfile.TemporaryDirectory() as directory:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["network", "format", "difference", "mebibytes", "fault"])
        for name in names:
            path = Path(directory, "network")
            try:
                with warnings.catch_warnings(action="ignore"):
                    difference = write(path, _loaded(name), normalise=True)
                row = [name, given.format, f"{difference:.1e}", f"{path.stat().st_size / 2**20:.1f}", ""]
            except ValueError as error:
                row = [name, given.format, "", "", " ".join(str(error).split())[:200]]
            writer.writerow(row)
            file.flush()
            jax.clear_caches()
            print(*row, flush=True)


if __name__ == "__main__":
    main()
