"""Counts the bytes that squeeze-and-excitation adds to a training step on a TPU and on a GPU, by their compilers.

    pip install 'senet-jax[plan,plan-gpu]'
    python -m benchmarks.accelerator_bytes [--batch_size=128] [--topologies v5e:2x2 h100:1] [--output=FILE.csv]

No accelerator is needed: the step is compiled for one chip of each topology, in bfloat16, and not run. On two cores
each network takes one to two minutes for a TPU and half of one for a GPU.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from senet_jax.bench import report, stock_flax
from senet_jax.config import Experiment
from senet_jax.models import create_model
from senet_jax.modules import BatchNorm
from senet_jax.planning import topologies
from senet_jax.planning.programs import Program, abstract_batch, compile_step
from senet_jax.training import parallel
from senet_jax.training.provenance import provenance
from senet_jax.training.state import init_state
from senet_jax.training.step import make_train_step

CONTESTANTS = {
    "ours": create_model,
    "ours, not fused": partial(create_model, norm=partial(BatchNorm, fused=False)),
    "stock flax.linen": lambda name, dtype: stock_flax.NETWORKS[name](dtype=dtype),
}
NETWORKS = ("timm/resnet50", "timm/seresnet50")


def compiled_step(model: nn.Module, batch_size: int, topology: str) -> Program:
    """Compiles the training step on uint8 images of 224x224, SGD with momentum, for one chip."""
    mesh = parallel.data_mesh(topologies.devices(topologies.parse(topology))[:1])
    optimizer = optax.sgd(0.1, momentum=0.9)
    state = jax.eval_shape(partial(init_state, model, optimizer, (224, 224, 3), seed=0, average=False))
    batch = abstract_batch(batch_size, (224, 224, 3), mesh)
    return compile_step(make_train_step(model, optimizer, Experiment()), mesh, state, batch)


def main() -> None:
    """Prints a table, and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--topologies", nargs="+", default=["v5e:2x2", "h100:1"])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for topology in arguments.topologies:
        for contestant, make in CONTESTANTS.items():
            for name in NETWORKS:
                step = compiled_step(make(name, dtype=jnp.bfloat16), arguments.batch_size, topology)
                moved, held = step.bytes_accessed / 1e9, step.peak_bytes / 1e9
                row = {"topology": topology, "contestant": contestant, "network": name}
                rows.append(row | {"gb_accessed": moved, "peak_gb": held, "batch_size": arguments.batch_size})
                print(
                    f"{topology:8} {contestant:16} {name:15} {moved:7.2f} GB accessed  {held:5.2f} GB at most",
                    flush=True,
                )
            plain, se = rows[-2:]
            moved, held = (100 * (se[field] / plain[field] - 1) for field in ("gb_accessed", "peak_gb"))
            print(f"{topology:8} {contestant:16} {'SE adds':15} {moved:+7.1f} %            {held:+5.1f} %", flush=True)
    if arguments.output:
        report.write(arguments.output, rows, provenance())


if __name__ == "__main__":
    main()
