"""Cost of a network: parameters, multiply-adds and activations of each of its modules, for one image.

They are counted from shapes in the traced program; nothing is computed or compiled.
"""

import math
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from numbers import Integral
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.core import DenyList
from flax.linen.module import InterceptorContext
from jax.extend.core import Jaxpr, JaxprEqn, jaxprs_in_params

from senet_jax.models.parameters import abstract_variables
from senet_jax.modules.batch_norm import unfused
from senet_jax.modules.conv import with_xla_convolutions
from senet_jax.modules.squeeze_excite import Attention
from senet_jax.modules.with_se import with_train

_MOVES_DATA = {
    "bitcast_convert_type", "broadcast_in_dim", "concatenate", "convert_element_type", "copy", "copy_p", "device_put",
    "dynamic_slice", "dynamic_update_slice", "gather", "iota", "name", "optimization_barrier", "pad", "platform_index",
    "random_unwrap", "random_wrap", "reduce_precision", "reshape", "rev", "scatter", "sharding_constraint", "slice",
    "split", "squeeze", "stop_gradient", "transpose",
}  # fmt: skip
_UNTOLD = {"ffi_call", "io_callback", "pallas_call", "pure_callback", "shard_map", "while"}


@dataclass(frozen=True)
class Cost:
    """Cost of a module or a network for one image. Costs can be added, subtracted, and multiplied by a number."""

    parameters: int = 0
    """Trainable parameters, without running statistics."""
    multiply_adds: int = 0
    """Multiply-adds of convolutions and matrix products, as the papers count operations, including taps on padding."""
    activations: int = 0
    """Elements of the outputs of convolutions and matrix products."""
    elementwise: int = 0
    """Other work: elements that reductions read and that arithmetic writes. Moving data is free."""

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*map(operator.add, astuple(self), astuple(other)))

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(*map(operator.sub, astuple(self), astuple(other)))

    def __mul__(self, times: int) -> "Cost":
        return Cost(*(times * count for count in astuple(self)))


@dataclass(frozen=True)
class NetworkCost:
    """Cost of a network by modules."""

    own: Mapping[str, Cost]
    """Cost of each module without the modules in it, by its path in the parameter tree; "" is the network."""
    attention: Collection[str] = ()
    """Paths of the attention modules: those of this package's classes, and others named "se"."""

    @property
    def total(self) -> Cost:
        """Cost of the whole network."""
        return sum(self.own.values(), Cost())

    @property
    def squeeze_excite(self) -> Cost:
        """Cost of squeeze-and-excitation, or of other attention in its place."""
        return self.of_attention().total

    @property
    def modules(self) -> dict[str, Cost]:
        """Cost of each module with the modules in it, by its path, such as "stage2_block1/conv1", parents first."""
        sums: dict[str, Cost] = {}
        for path, cost in self.own.items():
            parts = path.split("/") if path else []
            for end in range(len(parts) + 1):
                parent = "/".join(parts[:end])
                sums[parent] = sums.get(parent, Cost()) + cost
        return sums

    def of_attention(self) -> "NetworkCost":
        """Returns the part of the attention modules, and of the modules in them."""
        beginnings = tuple(f"{path}/" if path else "" for path in self.attention)
        return NetworkCost({path: cost for path, cost in self.own.items() if f"{path}/".startswith(beginnings)})


def cost(model: nn.Module, image_size: int | tuple[int, int], *, channels: int = 3, **arguments: Any) -> NetworkCost:
    """Counts the cost of a network for one image of `image_size` pixels, or (height, width), without running it.

    Args:
      model: any `flax.linen` module that is called with images (n, h, w, c).
      image_size: height and width if they are equal, or (height, width).
      channels: channels of the images.
      **arguments: other arguments of the module; `train=False` is added if it takes `train`.

    A scan is counted once for each iteration, a condition as its branch with the most multiply-adds, and code that
    differs by platform in its default form. Raises ValueError if the size is impossible, if `model` is not a linen
    module, or if its work cannot be counted: that of while loops and of custom kernels.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"cost is given a {type(model).__name__}; it counts the modules of flax.linen alone")
    sides = image_size if isinstance(image_size, Sequence) else (image_size, image_size)
    if len(sides) != 2 or not all(isinstance(x, Integral) and x >= 1 for x in (*sides, channels)):
        raise ValueError(
            f"image_size is {image_size} and channels is {channels}; give a number of pixels, or (height, width), of "
            "1 or more, and 1 channel or more"
        )
    height, width = map(int, sides)
    arguments = with_train(model, arguments)
    images = jax.ShapeDtypeStruct((1, height, width, channels), jnp.float32)
    variables = abstract_variables(model, images, **arguments)
    own: dict[str, Cost] = {}
    attention: set[str] = set()

    def mark(method: Callable[..., Any], args: Any, kwargs: Any, context: InterceptorContext) -> Any:
        path = "/".join(context.module.path)
        own.setdefault(path, Cost())  # So the order is that of the calls.
        if isinstance(context.module, Attention) or context.module.name == "se":
            attention.add(path)
        with jax.named_scope(f"{{{path}}}"):
            return method(*args, **kwargs)

    with unfused(), nn.intercept_methods(mark):
        plain = with_xla_convolutions(model)
        program = jax.make_jaxpr(partial(plain.apply, mutable=DenyList("params"), **arguments))(variables, images)
    for path, leaf in jax.tree.leaves_with_path(nn.unbox(variables.get("params", {}))):
        _add(own, {"/".join(key.key for key in path[:-1]): Cost(parameters=leaf.size)})
    _add(own, _count(program.jaxpr, ""))
    return NetworkCost(own, attention)


def _add(costs: dict[str, Cost], more: Mapping[str, Cost], times: int = 1) -> None:
    for path, cost in more.items():
        costs[path] = costs.get(path, Cost()) + cost * times


def _count(program: Jaxpr, caller: str) -> dict[str, Cost]:
    """Returns the cost of each module in a program. Equations without a mark belong to the caller of the program."""
    costs: dict[str, Cost] = {}
    for equation in program.eqns:
        marks = re.findall(r"{(.*?)}", str(equation.source_info.name_stack))
        module, name = marks[-1] if marks else caller, equation.primitive.name
        if name in _UNTOLD:
            raise ValueError(
                f"{module or 'the network'} calls {name!r}, whose work the traced program does not tell; use a loop "
                "of known length (jax.lax.scan) instead of a while loop, and jax.numpy instead of a kernel"
            )
        inner = [_count(called, module) for called in jaxprs_in_params(equation.params)]
        if not inner or name.startswith(("reduce", "scatter", "senet_jax_convolution")):  # These programs do no work.
            _add(costs, {module: _work(equation)})
        elif name == "cond" and equation.params.get("branches_platforms"):
            _add(costs, inner[equation.params["branches_platforms"].index(None)])
        elif name == "cond":
            _add(costs, max(inner, key=lambda branch: sum(branch.values(), Cost()).multiply_adds))
        else:
            for called in inner:
                _add(costs, called, times=equation.params["length"] if name == "scan" else 1)
    return costs


def _work(equation: JaxprEqn) -> Cost:
    """Returns the multiply-adds and activations, or the elementwise work, of an equation that calls no program."""
    name, parameters = equation.primitive.name, equation.params
    operands: list[Any] = [variable.aval for variable in equation.invars]
    results: list[Any] = [variable.aval for variable in equation.outvars]
    written = sum(result.size for result in results)
    if name in ("conv_general_dilated", "senet_jax_convolution"):  # The second is `ops.convolution`.
        kernel, numbers = operands[1].shape, parameters.get("dimension_numbers")
        taps = math.prod(kernel) // kernel[numbers.rhs_spec[0] if numbers else -1]
        # The zeros that a transposed convolution inserts are free.
        spread = math.prod(parameters.get("lhs_dilation", ()))
        return Cost(multiply_adds=written * taps // spread, activations=written)
    if name == "dot_general":
        (contracted, _), _ = parameters["dimension_numbers"]
        terms = math.prod(operands[0].shape[axis] for axis in contracted)
        return Cost(multiply_adds=written * terms, activations=written)
    if name in _MOVES_DATA:
        return Cost()
    if name.startswith("reduce_window"):
        return Cost(elementwise=written * math.prod(parameters["window_dimensions"]))
    if name.startswith(("reduce", "argmax", "argmin")):
        return Cost(elementwise=operands[0].size)
    return Cost(elementwise=written)
