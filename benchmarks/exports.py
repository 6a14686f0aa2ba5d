"""Exports networks and checks them: `python -m benchmarks.exports --format=stablehlo|onnx|tflite --output=FILE.csv`.

One network of each family is written for small images, with random parameters, and run for batches of 1 and 3: its row
has the largest difference to JAX over the largest logit, or the fault. As StableHLO, every other network of the
registry is lowered for all platforms and read back, not run. Other rows of the file stay: the packages of each format
need an environment of their own. Patterns such as "se_vgg*" choose networks. The exit status is 1 if one has a fault.
"""

import argparse
import fnmatch
import importlib
import json
import sys
import tempfile
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from senet_jax import create_model, list_models
from senet_jax.config import ModelConfig
from senet_jax.export.stablehlo import PLATFORMS
from senet_jax.files import read_table, write_table
from senet_jax.modules.conv import with_xla_convolutions
from senet_jax.training.provenance import provenance
from senet_jax.weights import Preprocessing
from senet_jax.weights.source import Loaded

_FAMILIES = [
    "se_resnet18", "se_resnet50", "se_resnext26_32x4d", "senet154", "se_bn_inception", "se_inception_resnet_v2",
    "se_vgg11", "se_mobilenet", "se_shufflenet", "se_resnet20_cifar", "se_preact_resnet20_cifar", "se_wrn16_8_cifar",
    "se_shake26_2x32d_cifar", "nvidia/se_resnext101_32x4d", "timm/seresnet18", "timm/resnext50_32x4d",
    "timm/seresnet33ts", "timm/ecaresnet26t", "timm/seresnetaa50d", "timm/legacy_seresnext26_32x4d",
    "timm/mobilenetv1_100",
]  # fmt: skip
_PACKAGES = {
    "stablehlo": ("jax",),
    "onnx": ("jax2onnx", "onnxruntime"),
    "tflite": ("litert-converter", "ai-edge-litert"),
}


def _network(name: str) -> tuple[Any, Any, Any]:
    """Returns the network for ten classes, the shape of one image, and those of its variables."""
    size = 224 if "vgg" in name else 96 if "inception" in name else 32
    network, images = create_model(name, 10), jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    return network, images, jax.eval_shape(lambda x: network.init(jax.random.key(0), x, train=False), images)


def _loaded(name: str) -> Loaded:
    """Returns the network with random variables: kernels of unit gain, scales near 1, all else near 0."""
    (network, images, shapes), random = _network(name), np.random.default_rng(0)

    def fill(path: Any, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        kind = path[-1].key
        if kind == "kernel":
            return random.normal(0, np.prod(leaf.shape[:-1]) ** -0.5, leaf.shape).astype(np.float32)
        return (random.uniform(-0.1, 0.1, leaf.shape) + (kind in ("scale", "var"))).astype(np.float32)

    variables = jax.tree.map_with_path(fill, shapes)
    return Loaded(network, variables, Preprocessing(images.shape[1]), (), ModelConfig(name), "random")


def _lower(name: str) -> None:
    """Lowers the network for any batch, with variables as arguments. Raises ValueError if it differs when read back."""
    network, images, shapes = _network(name)
    (batch,) = export.symbolic_shape("n")
    xla = with_xla_convolutions(network)
    apply = jax.jit(lambda variables, images: xla.apply(variables, images, train=False))
    exported = export.export(apply, platforms=PLATFORMS)(shapes, images.update(shape=(batch, *images.shape[1:])))
    read = export.deserialize(exported.serialize())
    if (found := [str(each) for each in read.out_avals]) != ["float32[n,10]"] or read.platforms != PLATFORMS:
        raise ValueError(f"read back, it returns {found} on {read.platforms}")


def _row(name: str, form: str, write: Callable[..., float]) -> dict[str, str]:
    row = {"network": name, "format": form, "difference": "", "mebibytes": "", "fault": ""}
    try:
        with warnings.catch_warnings(action="ignore"), tempfile.TemporaryDirectory() as directory:
            if name in _FAMILIES:
                path = Path(directory, "network")
                row["difference"] = f"{write(path, _loaded(name), normalise=True):.1e}"
                row["mebibytes"] = f"{path.stat().st_size / 2**20:.1f}"
            else:
                _lower(name)
    except ValueError as error:
        row["fault"] = " ".join(str(error).split())[:200]
    jax.clear_caches()
    return row


def main() -> None:
    """Writes the table row by row, prints each, and exits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", default=["*"])
    parser.add_argument("--format", choices=_PACKAGES, default="stablehlo")
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    if given.output.exists():
        rows = {(row["network"], row["format"]): row for row in read_table(given.output)}
    versions = {name: metadata.version(name) for name in _PACKAGES[given.format]}
    known = {name: value for name, value in provenance().items() if name in ("commit", "command", "hardware")}
    known["versions"] = json.dumps(versions)
    write, faults = importlib.import_module(f"senet_jax.export.{given.format}").write, 0
    for name in list_models() if given.format == "stablehlo" else _FAMILIES:
        if any(fnmatch.fnmatch(name, pattern) for pattern in given.patterns):
            row = rows[name, given.format] = _row(name, given.format, write) | known
            faults += bool(row["fault"])
            print(*list(row.values())[:5], flush=True)
            write_table(given.output, list(rows.values()))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
