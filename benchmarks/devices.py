"""The same training steps on 1, 2, 4 and 8 CPU devices, of one and of two processes, by `jax.jit` and by `jax.pmap`.

    python -m benchmarks.devices [--steps=20]

Trains a small SE-ResNet in float64 on random images, in batches of 32 with crops, mirror images, dropout and statistics
over groups of 8, which reach over two devices if there are 8. Prints the largest difference of a parameter or a running
statistic from one device, and the collectives in the compiled step.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.faults.runs import free_address
from senet_jax.config import DataConfig, Experiment
from senet_jax.models import create_model
from senet_jax.modules import BatchNorm
from senet_jax.modules.conv import Convolution
from senet_jax.planning import hlo
from senet_jax.terminal.tables import print_table
from senet_jax.training import parallel
from senet_jax.training.processes import join
from senet_jax.training.state import init_state
from senet_jax.training.step import make_train_step

_BATCH, _SIDE = 32, 8


def trained(devices: int, parallelism: str, steps: int) -> tuple[list[np.ndarray], str]:
    """Returns parameters and running statistics after the steps on so many devices, and the collectives in words.

    Each process has an equal number of the devices, and of the images. With several, the collectives of `jax.pmap` are
    not known, "".
    """
    own = devices // jax.process_count()
    chosen = [device for device in jax.devices() if device.id % jax.local_device_count() < own]
    mesh = parallel.data_mesh(chosen[::-1])  # The order in which they are given is that of no batch.
    norm, conv = partial(BatchNorm, group=8), partial(Convolution, lowering="xla")
    small: Any = {"stage_sizes": (1,), "widths": (8,), "stem_width": 8, "ratio": 2, "dropout": 0.2}
    dtypes = {"dtype": jnp.float64, "param_dtype": jnp.float64}
    model = create_model("se_resnet20_cifar", 10, norm=norm, conv=conv, **small, **dtypes)
    optimizer = optax.sgd(0.1, momentum=0.9)
    init = partial(init_state, model, optimizer, (_SIDE, _SIDE, 3), seed=0, average=False)
    state = jax.jit(init, out_shardings=parallel.replicated(mesh))()
    config = Experiment(data=DataConfig(crop_padding=1, flip=True))
    step = parallel.STEPS[parallelism](make_train_step(model, optimizer, config), mesh)

    rng = np.random.default_rng(0)
    share = _BATCH // jax.process_count()
    part = slice(jax.process_index() * share, (jax.process_index() + 1) * share)
    images = rng.integers(0, 256, (steps, _BATCH, _SIDE, _SIDE, 3), np.uint8)
    labels = rng.integers(0, 10, (steps, _BATCH), np.int32)
    batches = ({"image": images[i, part], "label": labels[i, part]} for i in range(steps))
    found = ""
    for batch in parallel.to_devices(batches, mesh):
        if not found and not (parallelism == "pmap" and jax.process_count() > 1):
            text = step.lower(state, batch, 0, 0.1).compile().as_text() or ""
            counts = Counter(each.kind for each in hlo.collectives(text))
            found = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())) or "none"
        state = step(state, batch, 0, 0.1)
    return [np.asarray(leaf.addressable_data(0)) for leaf in jax.tree.leaves(state.variables)], found


def _run(processes: int, steps: int, file: Path, coordinator: str, number: int) -> None:
    """Trains in all ways that so many processes can, and writes the results; of two processes, the first writes."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 8 // processes)
    jax.config.update("jax_enable_x64", True)
    if processes > 1:
        join(coordinator, processes, number)
    texts, arrays = {}, {}
    for parallelism in parallel.STEPS:
        for devices in (1, 2, 4, 8):
            if devices >= processes:
                leaves, found = trained(devices, parallelism, steps)
                name = f"{devices} {parallelism}"
                texts[name] = found
                arrays |= {f"{name} {place}": leaf for place, leaf in enumerate(leaves)}
    if not number:
        np.savez(file, texts=json.dumps(texts), **arrays)


def _spawn(processes: int, steps: int, file: Path) -> None:
    words = [f"--steps={steps}", str(processes), str(file), free_address()]
    command = [sys.executable, "-m", "benchmarks.devices", *words]
    begun = [subprocess.Popen([*command, str(number)]) for number in range(processes)]
    if any([process.wait() for process in begun]):
        sys.exit("a process failed")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("child", nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        processes, file, coordinator, number = given.child
        _run(int(processes), given.steps, Path(file), coordinator, int(number))
        return
    rows, first = {}, []
    with tempfile.TemporaryDirectory() as directory:
        for processes in (1, 2):
            file = Path(directory) / f"{processes}.npz"
            _spawn(processes, given.steps, file)
            results = np.load(file)
            for name, found in json.loads(str(results["texts"])).items():
                leaves = [results[key] for key in results.files if key.startswith(f"{name} ")]
                first = first or leaves
                largest = max(float(np.abs(a - b).max()) for a, b in zip(leaves, first, strict=True))
                rows[f"{processes} process(es), {name}"] = f"{largest:.1e}  {found}"
    print(f"largest difference from one device after {given.steps} steps, and collectives of a step")
    print_table(rows)


if __name__ == "__main__":
    main()
