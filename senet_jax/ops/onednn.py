"""oneDNN's convolution and matrix product on CPUs, by the custom calls that jaxlib's XLA makes for its own use.

The wheels of jaxlib for x86-64 Linux contain oneDNN. XLA promises nothing about these calls, so they serve only with
the versions for which tests/ops/test_onednn.py passed, and everything that knows their form is in this file.
"""

import functools
import json
import math
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib.version

from senet_jax.ops.windows import Window, pad
from senet_jax.typing import Array, Float

TRIED = ("0.10.2", "0.11.2", "0.12.0.1")
"""Versions of jaxlib with which the tests passed."""


@functools.cache
def serves(dtype: Any) -> bool:
    """Whether the calls compute in this dtype here: float32, and bfloat16 if the CPU multiplies it by AMX."""
    wheel = sys.platform == "linux" and platform.machine() == "x86_64" and jaxlib.version.__version__ in TRIED
    return wheel and (dtype == jnp.float32 or (dtype == jnp.bfloat16 and "amx_bf16" in _cpu_flags()))


def kept() -> bool:
    """Whether JAX keeps compiled programs in a persistent cache, which fails for programs with these calls."""
    config: Any = jax.config
    seconds = config.jax_persistent_cache_min_compile_time_secs
    return config.jax_enable_compilation_cache and bool(config.jax_compilation_cache_dir) and seconds < math.inf


def _cpu_flags() -> Sequence[str]:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split() for line in lines if line.startswith("flags")), [])


def convolution(x: Float[Array, "n h w c"], kernel: Float[Array, "kh kw gc o"], window: Window) -> Array:
    """Returns the convolution, (n, oh, ow, o), in the dtype of x. No size may be zero."""
    return _convolution(x, kernel, window, input_axis=2)


def transposed_convolution(x: Float[Array, "n h w o"], kernel: Float[Array, "kh kw gc o"], window: Window) -> Array:
    """Returns the convolution whose kernel maps its last axis to the one before, (n, oh, ow, groups * gc)."""
    if window.groups == 1:
        return _convolution(x, kernel, window, input_axis=3)
    kh, kw, group_width, features = kernel.shape
    split = kernel.reshape(kh, kw, group_width, window.groups, -1).transpose(0, 1, 4, 3, 2)
    return _convolution(x, split.reshape(kh, kw, features // window.groups, -1), window, input_axis=2)


def _convolution(x: Array, kernel: Array, window: Window, input_axis: int) -> Array:
    output_axis = 5 - input_axis
    if min(map(min, window.padding)) < 0:  # oneDNN would end the process.
        x, window = pad(x, window.padding), window._replace(padding=((0, 0), (0, 0)))
    axes = zip(x.shape[1:3], kernel.shape[:2], window.stride, window.padding, window.dilation, strict=True)
    spatial = [(size + sum(pad) - step * (taps - 1) - 1) // stride + 1 for size, taps, stride, pad, step in axes]
    maps = {"batch_dim": 0, "feature_dim": 3, "spatial_dims": [1, 2]}
    config = {
        "dims": 4,
        "feature_groups": window.groups,
        "input": {"dims": 4, "data": maps},
        "kernel": {
            "dims": 4,
            "filter": {"input_feature_dim": input_axis, "output_feature_dim": output_axis, "spatial_dims": [0, 1]},
        },
        "output": {"dims": 4, "data": maps},
        "window": {
            "size": [],
            "pad_left": [before for before, _ in window.padding],
            "pad_right": [after for _, after in window.padding],
            "strides": window.stride,
            "window_dilations": window.dilation,
        },
    }
    shape = (x.shape[0], *spatial, kernel.shape[output_axis])
    return _call("convolution", "conv", config, jax.ShapeDtypeStruct(shape, x.dtype), x, kernel)


def product(x: Float[Array, "k b m"], y: Float[Array, "k b n"]) -> Float[Array, "b m n"]:
    """Returns the products of the columns of x and y for each b, summed over k, in float32."""
    shape = jax.ShapeDtypeStruct((x.shape[1], x.shape[2], y.shape[2]), jnp.float32)
    config = {"transpose_a": True, "transpose_b": False}
    if x.shape[1] == 1:
        flat = jax.ShapeDtypeStruct(shape.shape[1:], shape.dtype)
        return _call("matmul", "matmul", config, flat, x[:, 0], y[:, 0])[None]
    # The order in memory stays that of the operands.
    layouts = {"input_layouts": [(1, 0, 2)] * 2}
    return _call("matmul", "matmul", config, shape, x.transpose(1, 0, 2), y.transpose(1, 0, 2), **layouts)


def _call(target: str, name: str, config: Any, result: Any, *operands: Array, **settings: Any) -> Array:
    backend_config = json.dumps({"outer_dimension_partitions": [], f"onednn_{name}_config": config})
    call = jax.ffi.ffi_call(
        f"__onednn${target}",
        result,
        custom_call_api_version=2,
        legacy_backend_config=backend_config,
        **settings,
    )
    return call(*operands)
