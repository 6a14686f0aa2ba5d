"""Base classes of the networks: fields, outputs and last layers."""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from numbers import Integral
from typing import Any, overload

import jax.numpy as jnp
from flax import linen as nn

from senet_jax import modules, ops
from senet_jax.modules.conv import Convolution
from senet_jax.modules.residual import check_residual
from senet_jax.modules.squeeze_excite import check_maker
from senet_jax.typing import Array, Float, ModuleDef


class Network(nn.Module, kw_only=True):
    """Base class of networks: maps that get smaller stage by stage, their mean over positions, a dense layer.

    `apply(variables, images, train=False)` returns logits; with `features=(4, 8, 16, 32)`, the maps at these strides.
    """

    num_classes: int = 1000
    """Width of the logits; 0: their input, the mean over positions, is returned instead."""
    attention: ModuleDef | None = None
    """Function of `name` and `param_dtype` that makes the attention modules, which are called as (x), such as
    `partial(SqueezeExcite, ratio=8)`; None: a plain network."""
    attention_stages: Collection[int] | None = None
    """Stages with attention, numbered as in the papers; None: all."""
    conv: ModuleDef = Convolution
    """Function that makes the convolutions, such as `partial(Convolution, lowering="xla")`."""
    norm: ModuleDef = modules.BatchNorm
    """Function of `name` and `param_dtype` that makes the normalisations, modules that are called as (x, train=...)."""
    activation: Callable[[Array], Array] = nn.relu
    dropout: float = 0.0
    """Rate of dropout before the dense layer; training then needs the random numbers "dropout"."""
    features_only: bool = False
    """Whether the network returns a list of maps from the first to the last: of the stem, if they are larger, and of
    each stage."""
    out_indices: Sequence[int] | None = None
    """Positions of the maps in that list which are returned, as timm counts them; None: all."""
    dtype: Any = jnp.float32
    """Dtype of the convolutions and the maps; parameters and statistics have `param_dtype`, gates and logits at
    least float32."""
    param_dtype: Any = jnp.float32
    remat: bool = False
    """Whether backward computes the maps inside of each block once more, so that they need not be kept (arXiv
    1604.06174)."""

    def __post_init__(self) -> None:
        """Raises ValueError if a dtype, `num_classes`, `attention`, `dropout` or the stages are impossible."""
        for name in ("dtype", "param_dtype"):
            try:
                jnp.dtype(getattr(self, name))
            except TypeError:
                raise ValueError(f"{name} is {getattr(self, name)!r}; give a dtype, such as jnp.bfloat16") from None
        if self.num_classes < 0:
            raise ValueError(f"num_classes is {self.num_classes}; it must be at least 1, or 0 for pooled features")
        if self.out_indices is not None and not self.features_only:
            raise ValueError(f"out_indices is {self.out_indices}, which is for features_only=True; give both")
        for name in ("attention_stages", "out_indices"):
            if isinstance(value := getattr(self, name), Integral):
                raise ValueError(f"{name} is {value}; give a collection, such as ({value},)")
        check_maker(self.attention)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must be at least 0 and less than 1")
        sizes, widths = (vars(self).get(name) for name in ("stage_sizes", "widths"))
        if sizes is not None and widths is not None and len(sizes) != len(widths):
            raise ValueError(f"stage_sizes has {len(sizes)} stages and widths {len(widths)}; give as many of each")
        for stage in self.attention_stages or ():
            if stage not in self.stages:
                stages = ", ".join(map(str, self.stages))
                raise ValueError(f"attention_stages has {stage}; the stages of this network are {stages}")
        super().__post_init__()

    @property
    def stages(self) -> Collection[int]:
        """Numbers of the stages that can have attention."""
        raise NotImplementedError

    def maps(self, x: Array, *, train: bool) -> Iterator[tuple[int, Array]]:
        """Yields the stride and the map after each stage; larger ones of the stem come before."""
        raise NotImplementedError

    @overload
    def __call__(self, images: Float[Array, "..."], *, train: bool) -> Float[Array, "n classes"]: ...

    @overload
    def __call__(self, images: Float[Array, "..."], *, train: bool, features: Collection[int]) -> dict[int, Array]: ...

    @nn.compact
    def __call__(
        self, images: Float[Array, "..."], *, train: bool, features: Collection[int] | None = None
    ) -> Float[Array, "n classes"] | dict[int, Array] | list[Array]:
        """Returns the logits of normalised images (n, h, w, c), or the last map (n, h', w', c') at each of `features`.

        With train=True, `batch_stats` must be mutable and is updated.
        Raises ValueError if the images are not (n, h, w, c), if a stride of `features` has no map, or if a layer that
        was given does not keep the dtype.
        """
        if images.ndim != 4:
            raise ValueError(f"images must be (n, height, width, channels); given shape {images.shape}")
        if isinstance(features, Integral):
            raise ValueError(f"features is {features}; give a collection of strides, such as ({features},)")
        images = images.astype(self.dtype)
        strides, maps = zip(*self.maps(images, train=train), strict=True)
        for stride, x in zip(strides, maps, strict=True):
            if x.dtype != images.dtype:
                raise ValueError(
                    f"the map at stride {stride} has dtype {x.dtype}, and the network {images.dtype}: an attention, a "
                    "normalisation or an activation must return the dtype of its input; add `.astype(x.dtype)` to it"
                )
        if features is not None:
            found = dict(zip(strides, maps, strict=True))
            for stride in features:
                if stride not in found:
                    known = ", ".join(map(str, found))
                    raise ValueError(f"there is no map at stride {stride!r}; the strides are {known}")
            return {stride: found[stride] for stride in features}
        if not self.features_only:
            return self.classify(maps[-1], train=train)
        indices = range(len(maps)) if self.out_indices is None else self.out_indices
        for index in indices:
            if not -len(maps) <= index < len(maps):
                raise ValueError(f"out_indices has {index}; the network has {len(maps)} maps, at strides {[*strides]}")
        return [maps[index] for index in indices]

    def classify(self, x: Array, *, train: bool) -> Array:
        """Returns the logits from the last map, or its mean over positions."""
        x = ops.squeeze(x)
        if not self.num_classes:
            return x
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes, param_dtype=self.param_dtype, name="head")(x)

    def layers(self) -> dict[str, Any]:
        """Returns the fields of every block and stem."""
        return {
            "conv": partial(self.conv, dtype=self.dtype, param_dtype=self.param_dtype),
            "norm": partial(self.norm, param_dtype=self.param_dtype),
            "activation": self.activation,
        }

    @nn.nowrap
    def run(self, block: nn.Module, x: Array, *, train: bool) -> Array:
        """Returns the output of a block."""
        if not self.remat:
            return block(x, train=train)
        return nn.remat(lambda block, x: block(x, train=train))(block, x)  # As an argument, `train` would be an array.

    def attention_in(self, stage: int) -> ModuleDef | None:
        """Returns the function that makes the attention modules of a stage; None: it has none."""
        if self.attention is None or (self.attention_stages is not None and stage not in self.attention_stages):
            return None
        return partial(self.attention, param_dtype=self.param_dtype)


class ResidualNetwork(Network, kw_only=True):
    """A network of stages of residual blocks."""

    stage_sizes: Sequence[int]
    """Blocks of each stage."""
    placement: str = "standard"
    """Place of the attention in a block: see `modules.ResidualBlock`."""
    drop_path: float = 0.0
    """Rate at which training leaves out the last branch; it rises linearly from 0 at the first (arXiv 1603.09382)."""

    def __post_init__(self) -> None:
        """Raises ValueError if the placement is unknown, if `drop_path` is not in [0, 1), and as `Network` does."""
        check_residual(self.placement, self.drop_path)
        super().__post_init__()

    @property
    def stages(self) -> Sequence[int]:
        """Numbers of the stages; the stem is stage 1."""
        return range(2, 2 + len(self.stage_sizes))

    def block_fields(self, stage: int, number: int) -> dict[str, Any]:
        """Returns the fields of a block besides its shape; `number` counts from 1 in each stage."""
        before = sum(self.stage_sizes[: self.stages.index(stage)]) + number - 1
        return {
            "attention": self.attention_in(stage),
            "placement": self.placement,
            "drop_path": self.drop_path * before / max(1, sum(self.stage_sizes) - 1),
            **self.layers(),
            "name": f"stage{stage}_block{number}",
        }
