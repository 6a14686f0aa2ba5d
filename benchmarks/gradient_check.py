"""Compares the gradients of a training step, compiled as in training, with those of `BatchNorm(fused=False)`.

    python -m benchmarks.gradient_check [--full] [CASE ...]

Prints for each case, statistics group and number of devices how many gradients differ by more than 1e-10 of their
largest value, in float64; exit status 1 if any does. Without names: every case. The networks are shortened to one block
of each kind, as in the tests; with --full they are whole, which takes minutes for each.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from senet_jax import create_model
from senet_jax.config import DataConfig, Experiment
from senet_jax.modules import BatchNorm
from senet_jax.training import parallel
from senet_jax.training.state import TrainState, init_state
from senet_jax.training.step import make_train_step

BATCH_SIZE = 8
GROUPS = (None, 4)
"""Statistics groups. On 4 devices, both span several."""
DEVICES = (1, 4)
LIMIT = 1e-10
_OPTIMIZER = optax.sgd(0.1, momentum=0.9)


@dataclass(frozen=True)
class Case:
    """A network of a family, shortened by its fields to the fewest blocks that contain every kind and transition."""

    name: str
    pixels: int
    """Height and width of the images."""
    fields: Mapping[str, Any] = field(default_factory=dict)

    def full(self) -> "Case":
        """The whole network, at a size that all of its stages can take."""
        return replace(self, pixels=224 if "vgg" in self.name else max(self.pixels, 32), fields={})

    def gradients(
        self,
        *,
        fused: bool,
        group: int | None = None,
        devices: int = 1,
        dtype: Any = jnp.float64,
        batch_size: int = BATCH_SIZE,
    ) -> dict[str, np.ndarray]:
        """Returns each parameter's gradient: the momentum after one step from the same state on the same images."""
        mesh = parallel.data_mesh(jax.devices()[:devices])
        data = DataConfig("digits", image_size=self.pixels, mean=(0.5,))
        config = Experiment(data=data, batch_size=batch_size)
        norm = partial(BatchNorm, group=group, fused=fused)
        model = create_model(self.name, 10, dtype=dtype, param_dtype=dtype, norm=norm, **self.fields)
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (batch_size, self.pixels, self.pixels, 3), np.uint8)
        labels = random.integers(0, 10, batch_size, np.int32)
        (batch,) = parallel.to_devices([{"image": images, "label": labels}], mesh)
        step = parallel.jit_step(make_train_step(model, _OPTIMIZER, config), mesh)
        state = jax.device_put(_random_state(model, images.shape[1:]), parallel.replicated(mesh))
        momentum = jax.device_get(step(state, batch).optimizer_state)
        return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(momentum)}


def _random_state(model: nn.Module, image_shape: tuple[int, ...]) -> TrainState:
    """Draws a state before the first step by NumPy, so that nothing is compiled for it."""
    init = partial(init_state, model, _OPTIMIZER, image_shape, seed=0, average=False)
    state = jax.eval_shape(init)
    random = np.random.default_rng(1)

    def draw(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        if path[-1].key == "kernel":
            return random.normal(0, math.sqrt(2 / math.prod(leaf.shape[:-1])), leaf.shape).astype(leaf.dtype)
        centre = 1 if path[-1].key in ("scale", "var") else 0
        return random.uniform(centre - 0.3, centre + 0.3, leaf.shape).astype(leaf.dtype)

    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), state)
    return zeros.replace(variables=jax.tree_util.tree_map_with_path(draw, state.variables))


_SHORT = {"stage_sizes": (1, 2), "widths": (8, 16)}
_IMAGENET = _SHORT | {"stem_width": 8}
_GROUPED = {"stage_sizes": (1, 2), "widths": (32, 64), "stem_width": 8}
_WITHOUT_IDENTITY = {"stage_sizes": (1, 1)}
"""For networks whose blocks with an identity shortcut are those of another one."""
_INCEPTION = {
    "3c": (0, 8, 8, 8, 8, 0),
    "5b": (8, 8, 8, 8, 8, 8),
}
_INCEPTION_RESNET = {
    "stage_sizes": (1, 1),
    "mixed": {
        "mixed_5b": {"branches": (((8, 1),), ((8, 5),)), "projection": 8},
        "mixed_6a": {"branches": (((8, 3),),)},
    },
    "blocks": {
        "block35": {"width": 24, "branches": (((8, 1),), ((8, 3),)), "scale": 0.17},
        "block17": {"width": 32, "branches": (((8, 1),), ((8, (1, 7)), (8, (7, 1)))), "scale": 0.1},
    },
}
_CASES = (
    Case("se_mobilenet", 16, {"stage_sizes": (1, 1, 1, 1), "widths": (16, 32, 64, 64), "output_stride": 8}),
    Case("se_resnet20_cifar", 8, _SHORT),
    Case("se_resnet18", 32, _IMAGENET),
    Case("se_resnet50", 32, _IMAGENET),
    Case("se_resnext50_32x4d", 32, _GROUPED),
    Case("senet154", 32, _GROUPED | _WITHOUT_IDENTITY),
    Case("se_bn_inception", 32, {"widths": _INCEPTION}),
    Case("se_inception_resnet_v2", 75, _INCEPTION_RESNET),
    Case("se_vgg11", 28, {"stage_sizes": (1, 2), "widths": (8, 16), "dense_width": 16}),
    Case("se_shufflenet", 32, {"stage_sizes": (2, 1), "width_multiplier": 0.2}),
    Case("se_preact_resnet110_cifar", 8, _SHORT | _WITHOUT_IDENTITY),
    Case("se_preact_resnet164_cifar", 8, _SHORT),
    Case("se_wrn16_8_cifar", 8, {"stage_sizes": (1, 1), "widths": (16, 32)}),
    Case("se_shake26_2x96d_cifar", 8, _SHORT | _WITHOUT_IDENTITY),
    Case("se_shake29_2x4x64d_cifar", 8, _SHORT),
    Case("timm/seresnetaa50d", 32, _IMAGENET | _WITHOUT_IDENTITY),
    Case("timm/seresnext26ts", 32, {"stage_sizes": (2,), "widths": (32,), "stem_width": 8}),
)
CASES = {case.name: case for case in _CASES}
"""Every family with squeeze-and-excitation, by its network's name."""


def errors(given: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> dict[str, float]:
    """Returns the largest error of each array in units of its largest value.

    The unit is at least 1e-5 of the largest value of all arrays: some gradients are zero but for rounding.
    """
    least = 1e-5 * max(np.abs(array).max() for array in expected.values())
    return {name: float(np.abs(given[name] - b).max() / max(np.abs(b).max(), least)) for name, b in expected.items()}


def check(case: Case) -> Iterator[tuple[int | None, int, dict[str, float]]]:
    """Yields each statistics group, number of devices, and the errors of the fused step there."""
    for group in GROUPS:
        expected = case.gradients(fused=False, group=group)
        for devices in DEVICES:
            yield group, devices, errors(case.gradients(fused=True, group=group, devices=devices), expected)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"one of {', '.join(CASES)}")
    parser.add_argument("--full", action="store_true", help="check the whole networks")
    arguments = parser.parse_args()
    cases = arguments.cases or list(CASES)
    if unknown := [case for case in cases if case not in CASES]:
        parser.error(f"unknown case {', '.join(unknown)}; the cases are {', '.join(CASES)}")
    failed = False
    print(
        "| network | group | devices | gradients wrong | largest error |\n| --- | --- | --- | --- | --- |", flush=True
    )
    for case in cases:
        chosen = CASES[case].full() if arguments.full else CASES[case]
        for group, devices, found in check(chosen):
            wrong = sum(error > LIMIT for error in found.values())
            failed |= wrong > 0
            print(f"| {case} | {group} | {devices} | {wrong} of {len(found)} | {max(found.values()):.0e} |", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_num_cpu_devices", max(DEVICES))
    main()
