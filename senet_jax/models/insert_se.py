"""Squeeze-and-excitation put into a trained network without a change to its output.

If its last dense layer is zero, an SE block's gates are sigmoid(0), exactly one half. Doubled parameters of a layer
beside the block make up for it. Both are powers of two, so that no bit of the logits changes by rounding.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from senet_jax.models.bn_inception import Inception
from senet_jax.models.inception_resnet import InceptionResidualBlock
from senet_jax.models.mobilenet import DepthwiseSeparable
from senet_jax.models.network import Network
from senet_jax.models.shufflenet import ShuffleUnit
from senet_jax.models.timm import LegacyBasicBlock
from senet_jax.models.vgg import VGGLayer
from senet_jax.modules import BatchNorm, SqueezeExcite, WithSE
from senet_jax.modules.conv import Convolution, with_xla_convolutions
from senet_jax.modules.pre_activation import PreActivationBasicBlock, PreActivationBlock, PreActivationBottleneck
from senet_jax.modules.residual import BasicBlock, Bottleneck, ResidualBlock
from senet_jax.modules.shake import ShakeBasicBlock, ShakeBottleneck
from senet_jax.modules.with_se import with_train
from senet_jax.typing import Array, ModuleDef

Path = tuple[str, ...]

_AFFINE = ("kernel", "scale", "bias")
_FIRST_OF_BRANCHES = ("branch?_conv1/conv",)
_LAYERS = {
    BasicBlock: (("conv1",), ("conv2",), ("norm2",)),
    Bottleneck: (("conv1",), ("conv3",), ("norm3",)),
    PreActivationBasicBlock: (("conv1",), ("conv2",), ("conv2",)),
    PreActivationBottleneck: (("conv1",), ("conv3",), ("conv3",)),
    ShuffleUnit: (("conv1",), ("conv3",), ("norm3",)),
    ShakeBasicBlock: (_FIRST_OF_BRANCHES, (), ("branch?_conv2/norm",)),
    ShakeBottleneck: (_FIRST_OF_BRANCHES, (), ("branch?_conv3/norm",)),
    InceptionResidualBlock: (_FIRST_OF_BRANCHES, (), ("linear",)),
}
"""Layers after the place "pre", after "inner" and before "standard", by class of block."""
_LINEAR = (
    BatchNorm, nn.BatchNorm, nn.GroupNorm, nn.InstanceNorm, nn.LayerNorm, nn.RMSNorm,
    Convolution, nn.Conv, nn.ConvLocal, nn.ConvTranspose, nn.Dense, nn.DenseGeneral,
)  # fmt: skip
"""Layers whose output doubles if their parameters do; subclasses can compute anything."""
_INCEPTION_INPUTS = ("1x1/conv", "3x3_reduce/conv", "double3x3_reduce/conv", "pool_proj/conv")
_INCEPTION_OUTPUTS = ("1x1/norm", "3x3/norm", "double3x3b/norm", "pool_proj/norm")


def insert_se(
    network: nn.Module,
    variables: Any,
    ratio: float | None = None,
    *,
    attention: ModuleDef | None = None,
    images: Any = None,
    key: Array | None = None,
    **arguments: Any,
) -> tuple[nn.Module, dict[str, Any]]:
    """Puts SE blocks into a trained network; returns the SE network and its variables, which compute the same.

    The parameters are those of an ordinary SE network: the blocks' first dense layers are drawn at random, their last
    are zero, and one layer beside each block has doubled kernels, scales or biases. Running statistics do not change.
    Gradients reach the last dense layers at once, and the first ones from the second step. The maps at `features`
    are halved in MobileNet and VGG, where the next layer is doubled.

    Args:
      network: a plain network of this package, which gets blocks at the places of its SE twin (`placement`,
        `attention_stages`); or `WithSE(network, where=...)`, whose patterns must match normalisations, convolutions
        or dense layers of Flax's or this package's own classes, and whose own attention is kept. Nothing else may read
        the parameters of these layers, as tied weights do, and wrappers such as `WeightNorm` are not supported.
      variables: `params` and `batch_stats` of the plain network; metadata of Flax are removed.
      ratio: reduction ratio of the blocks of a network of this package; None: that of the attention, 16.
      attention: class of these blocks or a partial of it, such as `partial(SqueezeExcite, squeeze="max")`, which gets
        their name and dtypes; None: `SqueezeExcite`.
      images: shape of an input, as an array or a `jax.ShapeDtypeStruct`; None: 224x224 pixels of one or three
        channels.
      key: random numbers for the first dense layers; None: `jax.random.key(0)`.
      **arguments: other arguments of the network, which gets `train=False` by default if it takes `train`.

    Raises ValueError if the network has SE blocks already, if the attention is not SE with the gate "sigmoid", if the
    variables are not those of the plain network, or if one half cannot be made up for: after the sum, on a shortcut
    without a projection, or beside an activation f for which f(2 x) is not 2 f(x).
    """
    if isinstance(network, Network):
        if network.attention is not None:
            raise ValueError(f"{type(network).__name__} has attention already; give a plain network")
        attention = attention or SqueezeExcite
        attention = attention if ratio is None else partial(attention, ratio=ratio)
        target = network.clone(attention=attention)
    elif isinstance(network, WithSE):
        if ratio is not None or attention is not None:
            raise ValueError(
                "ratio and attention are for networks of this package; give WithSE its own, such as "
                "WithSE(network, where, partial(SqueezeExcite, ratio=8))"
            )
        target, attention = network, network.attention
    else:
        raise ValueError(
            f"{type(network).__name__} is not a network of this package; give WithSE(network, where=...) instead"
        )
    if not isinstance(block := attention(), SqueezeExcite):
        raise ValueError(
            f"attention makes a {type(block).__name__}; insert_se takes SqueezeExcite, whose gates are one half if its "
            "last layer is zero"
        )
    if "params" not in variables:
        raise ValueError(f"variables has {', '.join(variables)}; give those of the network, with 'params'")
    variables, arguments = nn.unbox(variables), with_train(network, arguments)
    is_default = images is None
    if images is None:
        images = jax.ShapeDtypeStruct((1, 224, 224, _channels(variables)), jnp.float32)
    key = jax.random.key(0) if key is None else key
    traced = with_xla_convolutions(target)
    calls = _Calls()
    with nn.intercept_methods(calls):
        try:
            shapes = nn.unbox(jax.eval_shape(partial(traced.init, **arguments), key, images))
            found = enumerate(calls.found)
            blocks = {path: index for index, (path, module) in found if isinstance(module, SqueezeExcite)}
            _check(variables, shapes, set(blocks))
        except Exception as error:
            if is_default:
                error.add_note(
                    f"insert_se calls the network with {images.shape}, unless `images` has its input's shape"
                )
            raise

    @jax.jit
    def new_parameters(key: Array) -> dict[Path, Array]:
        """Returns the parameters of the blocks alone; the rest of `init` is dead code."""
        drawn: dict[Path, Any] = dict(
            flatten_dict(nn.unbox(traced.init(key, jnp.zeros(images.shape, images.dtype), **arguments)["params"]))
        )
        given = flatten_dict(variables["params"])
        return {
            path: jnp.zeros_like(leaf) if "expand" in path[-2:] else leaf
            for path, leaf in drawn.items()
            if path not in given
        }

    parameters: dict[Path, Any] = dict(flatten_dict(variables["params"]))
    for index in blocks.values():
        for path in _doubled(calls, index, parameters):
            _check_linear(calls, path[:-1], parameters)
            parameters[path] = 2 * parameters[path]
    parameters |= new_parameters(key)
    return target, {**variables, "params": unflatten_dict(parameters)}


@dataclass
class _Calls:
    """Interceptor that records the modules in the order of their calls."""

    found: list[tuple[Path, nn.Module]] = field(default_factory=list)
    kinds: dict[Path, type[nn.Module]] = field(default_factory=dict)
    """Class of each module, by its path. A fused normalisation is here alone, because its `__call__` is not used."""

    def __call__(self, method: Any, args: Any, kwargs: Any, context: Any) -> Any:
        self.kinds[context.module.path] = type(context.module)
        if context.method_name == "__call__":
            self.found.append((context.module.path, context.module))
        return method(*args, **kwargs)


def _doubled(calls: _Calls, index: int, parameters: dict[Path, Any]) -> Iterable[Path]:
    """Returns the paths of the parameters that make up for the half of the SE block of call number `index`."""
    path, se = calls.found[index]
    if se.gate != "sigmoid":
        raise ValueError(f"{'/'.join(path)} has the gate {se.gate!r}; insert_se takes blocks with 'sigmoid'")
    owner, block = path[:-1], se.parent
    later = [call for call in calls.found[index + 1 :] if call[0][: len(owner)] != owner]
    if isinstance(block, ResidualBlock):
        return _matching(parameters, owner, *_beside(block, owner, parameters))
    if isinstance(block, Inception):
        if block.widths[-1]:
            _check_homogeneous(block, owner)
            return _matching(parameters, owner, _INCEPTION_OUTPUTS, ("scale", "bias"))
        following = next((path for path, module in later if isinstance(module, Inception)), None)
        return _matching(parameters, following or owner, _INCEPTION_INPUTS if following else (), ("kernel",))
    if isinstance(block, VGGLayer | DepthwiseSeparable):
        following = next((path for path, _ in later if (*path, "kernel") in parameters), owner)
        return _matching(parameters, following, ("",), ("kernel",))
    _check_linear(calls, owner, parameters)
    return _matching(parameters, owner, ("",), _AFFINE)


def _check_linear(calls: _Calls, path: Path, parameters: dict[Path, Any]) -> None:
    """Raises ValueError unless the output of the module at a path doubles if its parameters do."""
    if calls.kinds[path] not in _LINEAR or not {(*path, "kernel"), (*path, "scale")} & parameters.keys():
        raise ValueError(
            f"{'/'.join(path) or 'the network'} is a {calls.kinds[path].__name__} whose output insert_se cannot double "
            "by its parameters; it must be a layer with a kernel or a scale, of the classes "
            + ", ".join(kind.__name__ for kind in _LINEAR)
        )


def _beside(block: ResidualBlock, owner: Path, parameters: dict[Path, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns patterns of the layers that are doubled in a residual block, and of their parameters.

    Raises ValueError if the block is of an unknown class, or if no layer can make up for the half at its placement.
    """
    known = next((layers for kind, layers in _LAYERS.items() if isinstance(block, kind)), None)
    if known is None:
        raise ValueError(
            f"{'/'.join(owner)} is a {type(block).__name__}, of which insert_se does not know the layers; it knows "
            + ", ".join(kind.__name__ for kind in _LAYERS)
        )
    inputs, inner, outputs = known
    if block.placement == "standard":
        if isinstance(block, LegacyBasicBlock):
            _check_homogeneous(block, owner)
        return outputs, _AFFINE
    if block.placement in ("pre", "inner"):
        if isinstance(block, ShakeBasicBlock):
            _check_homogeneous(block, owner)
        return inputs if block.placement == "pre" else inner, ("kernel",)
    projection = "shortcut_conv" if isinstance(block, PreActivationBlock) else "shortcut_norm"
    if block.placement == "identity" and any(path[: len(owner) + 1] == (*owner, projection) for path in parameters):
        return (projection,), _AFFINE
    raise ValueError(
        f"the placement {block.placement!r} of {'/'.join(owner)} halves a map that more than one layer takes, and no "
        "layer before it can make up for that: take the placement 'standard', 'pre' or 'inner'"
    )


def _matching(
    parameters: dict[Path, Any], owner: Path, patterns: Collection[str], leaves: tuple[str, ...]
) -> list[Path]:
    """Returns the paths of leaves of layers under a module that match the patterns; "" is the module itself."""
    found = [
        path
        for path in parameters
        if path[: len(owner)] == owner
        and path[-1] in leaves
        and any(fnmatchcase("/".join(path[len(owner) : -1]), pattern) for pattern in patterns)
    ]
    if not found:
        raise ValueError(
            f"no layer beside the SE block of {'/'.join(owner)} can make up for its half"
            + (f"; it has no {' or '.join(leaves)} in {' or '.join(patterns)}" if any(patterns) else "")
        )
    return found


def _check_homogeneous(block: Any, path: Path) -> None:
    if block.activation is not nn.relu:
        name = getattr(block.activation, "__name__", block.activation)
        raise ValueError(
            f"{'/'.join(path)} has the activation {name} between its SE block and the layer that would be doubled, and "
            f"{name}(2 x) is not 2 {name}(x); relu is possible"
        )


def _channels(variables: Any) -> int:
    """Returns the number of channels of the images: 1 if a kernel takes 1 and none takes 3, else 3."""
    inputs = {leaf.shape[-2] for leaf in jax.tree.leaves(variables["params"]) if leaf.ndim == 4}
    return 3 if 3 in inputs or 1 not in inputs else 1


def _check(variables: Any, shapes: Any, blocks: set[Path]) -> None:
    """Raises ValueError unless the variables are those of the SE network without its blocks."""
    with_blocks, given = (
        {path: leaf.shape for path, leaf in dict[Path, Any](flatten_dict(dict(tree))).items()}
        for tree in (shapes, variables)
    )
    expected = {
        path: shape
        for path, shape in with_blocks.items()
        if not any(path[1 : 1 + len(block)] == block for block in blocks)
    }
    for path in sorted(expected.keys() | given.keys()):
        if expected.get(path) != given.get(path):
            raise ValueError(
                f"{'/'.join(path)} of the variables is {given.get(path, 'missing')}; the network has "
                f"{expected.get(path, 'no such entry')}"
            )
