"""Convolution and its gradients as JAX primitives: in forms of their own on CPUs, in XLA's everywhere else.

For a convolution of groups, XLA for GPUs gathers the maps of all devices, and each device computes the whole of it (jax
0.10.2 and 0.12.0.1). There such a convolution and the gradient of its input are divided by `custom_partitioning`.

`jax.lax.platform_dependent` would not do. An exported program must not contain calls that only this machine's XLA
knows, and XLA cannot divide such calls among devices.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
from jax import lax
from jax.experimental.custom_partitioning import custom_partitioning
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir
from jax.sharding import NamedSharding, PartitionSpec

from senet_jax.ops import cpu_convolution, onednn
from senet_jax.ops.cpu_convolution import Allowed
from senet_jax.ops.windows import Window, xla_convolution, xla_input_gradient, xla_kernel_gradient
from senet_jax.typing import Array


def _primitive(
    name: str, own: Callable[..., Array], xla: Callable[..., Array], like: int | None, dimensions: str | None = None
) -> Any:
    """Makes a function of arrays that is computed by `own` on CPUs and by `xla` elsewhere.

    `like` is the operand whose shape and dtype the result has. None: it has the shape of the convolution. `dimensions`
    are those of `partitioned`, for GPUs; None: XLA divides `xla` itself.
    """
    primitive = Primitive(f"senet_jax_{name}")

    def by_xla(*operands: Array, window: Window, **_: Any) -> Array:
        return xla(*operands, window)

    def describe(*operands: Any, window: Window, **_: Any) -> Any:
        # Inside of `jax.shard_map`, the last operand varies over all axes that the result varies over.
        result = operands[like] if like is not None else jax.eval_shape(partial(xla, window=window), *operands)
        return operands[-1].update(shape=result.shape, dtype=result.dtype)

    def lower_on_cpu(
        context: mlir.LoweringRuleContext, *values: Any, window: Window, use_onednn: bool, **_: Any
    ) -> Any:
        alone = _alone(context)

        def on_cpu(*operands: Array) -> Array:
            serves = use_onednn and alone and not onednn.kept() and onednn.serves(operands[0].dtype)
            return own(*operands, window, Allowed(onednn=serves, loop=alone)).astype(operands[like or 0].dtype)

        form = partial(xla, window=window) if _empty_or_exported(context) else on_cpu
        return mlir.lower_fun(form, multiple_results=False)(context, *values)

    def lower_on_gpu(context: mlir.LoweringRuleContext, *values: Any, window: Window, **_: Any) -> Any:
        form = partial(xla, window=window)
        if dimensions and window.groups > 1 and not _alone(context) and not _empty_or_exported(context):
            form = partitioned(form, dimensions)
        return mlir.lower_fun(form, multiple_results=False)(context, *values)

    def map_examples(operands: Any, axes: Any, **settings: Any) -> tuple[Array, int]:
        mapped = {i: jax.numpy.moveaxis(operands[i], axis, 0) for i, axis in enumerate(axes) if axis is not None}

        def one(own: dict[int, Array]) -> Any:
            return primitive.bind(*(own.get(i, x) for i, x in enumerate(operands)), **settings)

        return lax.map(one, mapped), 0

    primitive.def_impl(by_xla)
    primitive.def_abstract_eval(describe)
    mlir.register_lowering(primitive, mlir.lower_fun(by_xla, multiple_results=False))
    mlir.register_lowering(primitive, lower_on_cpu, platform="cpu")
    mlir.register_lowering(primitive, lower_on_gpu, platform="cuda")
    mlir.register_lowering(primitive, lower_on_gpu, platform="rocm")
    batching.primitive_batchers[primitive] = map_examples

    @partial(jax.jit, static_argnames=("window", "use_onednn"), inline=True)
    def apply(*operands: Array, window: Window, use_onednn: bool) -> Any:
        mark = _needs_devices() if dimensions and window.groups > 1 else None
        return primitive.bind(*operands, window=window, use_onednn=use_onednn, mark=mark)

    return apply


def partitioned(form: Callable[..., Array], dimensions: str) -> Callable[..., Array]:
    """Divides a function of arrays among devices along their dimension n, as the result is divided, and no other.

    `dimensions` names those of the operands and of the result, as in "n h w c, a b c d -> n i j d".
    """
    operands = dimensions.partition(" -> ")[0].split(", ")
    factors = dict.fromkeys(dimensions.replace(" ->", "").replace(",", "").split())

    def partition(mesh: Any, _: Any, result: Any) -> tuple[Any, Callable[..., Array], Any, Any]:
        parts, everywhere = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (result.sharding.spec[:1], ()))
        return mesh, form, parts, tuple(parts if names.startswith("n ") else everywhere for names in operands)

    @custom_partitioning
    def whole(*arrays: Array) -> Array:  # It refuses the keywords of a partial function.
        return form(*arrays)

    others = tuple(name for name in factors if name != "n")
    whole.def_partition(partition=partition, sharding_rule=dimensions, need_replication_factors=others)
    return whole


@cache
def _needs_devices() -> Any:
    """Returns a parameter of a primitive by which jax knows that the lowering uses `custom_partitioning`."""
    return jax.make_jaxpr(partitioned(lambda x: x, "n -> n"))(jax.ShapeDtypeStruct((1,), "float32"))


def _empty_or_exported(context: mlir.LoweringRuleContext) -> bool:
    """Returns whether the arrays are empty, or the program is exported or has symbolic sizes."""
    sizes = [size for array in (*context.avals_in, *context.avals_out) for size in getattr(array, "shape", ())]
    known = all(isinstance(size, int) for size in sizes)
    return not known or 0 in sizes or getattr(context.module_context.lowering_parameters, "for_export", True)


def _alone(context: mlir.LoweringRuleContext) -> bool:
    """Returns whether the program is for one device, or `jax.shard_map` divides it, so that XLA need not."""
    axes: Any = context.module_context.axis_context
    if isinstance(axes, mlir.SPMDAxisContext):
        return set(axes.manual_axes) == set(axes.mesh.axis_names)
    return getattr(axes, "num_devices", 1) == 1


CONVOLUTION, INPUT_GRADIENT = "n h w c, a b d o -> n i j o", "n h w c, a b d o, n i j o -> n h w c"
"""Dimensions of the operands and the results."""
convolution = _primitive("convolution", cpu_convolution.convolution, xla_convolution, None, CONVOLUTION)
input_gradient = _primitive("input_gradient", cpu_convolution.input_gradient, xla_input_gradient, 0, INPUT_GRADIENT)
kernel_gradient = _primitive("kernel_gradient", cpu_convolution.kernel_gradient, xla_kernel_gradient, 1)
