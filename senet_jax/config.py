"""The typed configuration of an experiment: what a file in `experiments/` returns and `--config.x.y=z` overrides.

Standard library only, so that a wrong value is refused before anything slow is imported.
"""

import dataclasses
import difflib
import operator
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any


@dataclass(slots=True)
class ModelConfig:
    """The network and its precision."""

    name: str = "se_resnet20_cifar"
    """Name of a registered network; `list` prints them."""
    ratio: float | None = None
    """Reduction ratio of the squeeze-and-excitation blocks; None: the network's own."""
    attention: str = "own"
    """Attention module: the network's "own", "squeeze_excite", "effective", "eca", "scse", "cbam", "gather_excite",
    "global_context" or "none"."""
    squeeze: str = "mean"
    """Squeeze of the SE block: "mean", "max", "both", or "none" for gates at every position."""
    activation: str = "relu"
    """Activation between the SE block's dense layers: "relu", "relu6", "silu", "gelu", "hard_swish" or "tanh"."""
    gate: str = "sigmoid"
    """Gate function of the SE block: "sigmoid", "tanh", "relu" or "hard_sigmoid"."""
    use_bias: bool = True
    """Whether the dense layers of the SE block have biases; the paper's ablations have none."""
    placement: str = "standard"
    """Place of the SE block in a residual block: "standard", "pre", "post", "identity", or "inner" after the 3x3
    convolution (paper, section 6.5)."""
    attention_stages: tuple[int, ...] | None = None
    """Stages with an SE block, counted from 2 in ResNets; None: all."""
    drop_path: float = 0.0
    """Stochastic depth: drop rate of the last residual branch; it rises linearly from 0 at the first."""
    dtype: str = "float32"
    """Compute type, "float32" or "bfloat16"; parameters, statistics, gates and logits stay float32."""
    statistics_group: int | None = None
    """Examples that share batch-norm statistics (ghost batch normalisation); None: the whole global batch."""


@dataclass(slots=True)
class DataConfig:
    """The dataset and its preprocessing."""

    name: str = "digits"
    """"digits", "folder", or the name of any TFDS image classification dataset."""
    path: str | None = None
    """For "folder": the directory that holds `<split>/<class>/<image>`."""
    data_dir: str | None = None
    """Directory of prepared datasets; None: that of TFDS (TFDS_DATA_DIR, else ~/tensorflow_datasets)."""
    train_split: str = "train"
    """Name of the split to train on."""
    test_split: str = "test"
    """Name of the split to evaluate."""
    image_size: int = 8
    """Height and width of the network's input, in pixels."""
    mean: tuple[float, ...] = (0.5,)
    """Subtracted from pixels in [0, 1]: one value, or one for each channel."""
    std: tuple[float, ...] = (0.25,)
    """Std of pixels in [0, 1], divides them after the mean is subtracted: one value, or one for each channel."""
    random_resized_crop: bool = False
    """Train on crops of 8 to 100 % of the area and 3/4 to 4/3 in aspect, resized to image_size (paper, section 5.1)."""
    crop_padding: int = 0
    """Train on random crops of the image padded with this many zero pixels on each side; 0: off."""
    flip: bool = False
    """Train on images mirrored left to right with probability 1/2."""
    cutout: int = 0
    """Train on images with the mean in a square of this many pixels a side, somewhere: 16 on CIFAR-10, 8 on CIFAR-100
    (arXiv 1708.04552); 0: off."""
    center_crop: float = 1.0
    """Share of the shorter side that the central crop keeps; the paper tests at 224 of 256, 0.875."""
    workers: int = 0
    """Worker processes that decode images; 0: threads of the main process. Unused for a dataset kept in memory."""
    memory_limit_gib: float = 1.0
    """Largest decoded split, in GiB, that is kept in memory; a larger one is decoded in every epoch."""
    bad_images: float = 0.001
    """Largest share of a split's images that may be unreadable; others take their places in training, and evaluation
    leaves them out."""


@dataclass(slots=True)
class OptimizerConfig:
    """Stochastic gradient descent and its schedule."""

    learning_rate: float = 0.1
    """Peak learning rate, for the whole batch."""
    momentum: float = 0.9
    """Momentum coefficient."""
    nesterov: bool = True
    """Whether to use Nesterov momentum."""
    weight_decay: float = 1e-4
    """L2 coefficient for kernels; biases and normalisation parameters have none."""
    clip_norm: float | None = None
    """Largest global norm of the gradient; None: no clipping."""
    schedule: str = "cosine"
    """"cosine" to zero, "step" (times decay_factor at each of decay_at) or "constant"."""
    warmup: str = "0 steps"
    """Duration of the linear warm-up from zero."""
    decay_at: tuple[str, ...] = ()
    """Times of the decays of schedule "step", from the start of training."""
    decay_factor: float = 0.1
    """Factor of the learning rate at each decay of schedule "step"."""
    label_smoothing: float = 0.0
    """Share of the target probability that is spread evenly over all classes."""
    ema_decay: float | None = None
    """Decay of the exponential moving average of parameters and statistics, which is then evaluated; None: off."""


@dataclass(slots=True)
class InitConfig:
    """The weights that training starts from."""

    weights: str | None = None
    """Trained weights: a workdir, a weight file, a folder in timm's format or a repository of the hub; None: random
    initial values."""
    head: str = "auto"
    """Last layer: "keep" that of the weights, which must have the dataset's classes; "new": random values; "auto":
    "keep" if number and names of the classes are the dataset's, else "new"."""
    insert_se: bool = False
    """Whether the weights are of the plain twin of the network, into which its SE blocks are put without a change to
    the logits (`senet_jax.insert_se`)."""


@dataclass(slots=True)
class Experiment:
    """One experiment, whole. Durations are a number and its unit: "500 steps", "30 epochs", "0.5 epochs"."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    duration: str = "10 epochs"
    """Duration of training."""
    batch_size: int = 128
    """Images in a training step, over all devices."""
    eval_batch_size: int = 500
    """Images in an evaluation step, rounded up to a multiple of the devices; it only changes bfloat16 rounding."""
    seed: int = 0
    """Random seed for initialisation, data order and augmentation."""
    log_every: str = "50 steps"
    """Time between two records of the training loss."""
    eval_every: str = "1 epochs"
    """Time between two evaluations on the test split."""
    checkpoint_every: str = "1 epochs"
    """Time between two checkpoints."""
    keep_checkpoints: int = 2
    """Number of newest checkpoints to keep."""
    stuck_after: float | None = 1800.0
    """Seconds without the end of a step, after which the stacks of all threads are printed and the process ends; None:
    it waits for ever."""
    init: InitConfig = field(default_factory=InitConfig)


CHOICES = {
    "model.attention": (
        "own",
        "none",
        "squeeze_excite",
        "effective",
        "eca",
        "scse",
        "cbam",
        "gather_excite",
        "global_context",
    ),
    "model.squeeze": ("mean", "max", "both", "none"),
    "model.activation": ("relu", "relu6", "silu", "gelu", "hard_swish", "tanh"),
    "model.gate": ("sigmoid", "tanh", "relu", "hard_sigmoid"),
    "model.placement": ("standard", "pre", "post", "identity", "inner"),
    "model.dtype": ("float32", "bfloat16"),
    "optimizer.schedule": ("cosine", "step", "constant"),
    "init.head": ("auto", "keep", "new"),
}
"""The words that a field takes."""


def to_steps(duration: str, steps_per_epoch: float) -> int:
    """Steps in a duration such as "30 epochs" or "500 steps", rounded to the nearest whole step.

    Raises ValueError where the duration is not a number and a unit.
    """
    parsed = _parse_duration(duration)
    if parsed is None:
        raise ValueError(f"the duration is {duration!r}; it must be {_A_DURATION}")
    number, unit = parsed
    return round(number * steps_per_epoch) if unit == "epochs" else round(number)


_A_DURATION = "a number and its unit, such as '30 epochs', '0.5 epochs' or '500 steps'"


def _parse_duration(duration: str) -> tuple[float, str] | None:
    number, _, unit = duration.strip().partition(" ")
    unit = {"step": "steps", "epoch": "epochs"}.get(unit.strip(), unit.strip())
    try:
        value = float(number)
    except ValueError:
        return None
    whole = value % 1 == 0
    return (value, unit) if 0 <= value < inf and (unit == "epochs" or (unit == "steps" and whole)) else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The nearest of the known names as the end of a message, "; did you mean 'x'?", or "" where none is near."""
    near = difflib.get_close_matches(name, list(known), n=2)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


def field_types(kind: type = Experiment) -> dict[str, Any]:
    """The type of every leaf of a configuration under its dotted name, such as "optimizer.learning_rate"."""
    leaves: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(kind).items():
        if dataclasses.is_dataclass(hint):
            leaves |= {f"{name}.{leaf}": leaf_type for leaf, leaf_type in field_types(typing.cast(type, hint)).items()}
        else:
            leaves[name] = hint
    return leaves


def sections() -> dict[str, type]:
    """The classes of the sections of an experiment by their names, such as "model": ModelConfig."""
    hints = typing.get_type_hints(Experiment)
    return {name: hint for name, hint in hints.items() if isinstance(hint, type) and dataclasses.is_dataclass(hint)}


def flatten(config: Any) -> dict[str, Any]:
    """The value of every leaf of a configuration under its dotted name."""
    return {name: operator.attrgetter(name)(config) for name in field_types(type(config))}


def assign(config: Any, values: Mapping[str, Any]) -> None:
    """Sets leaves of a configuration, by their dotted names."""
    for name, value in values.items():
        section, _, leaf = name.rpartition(".")
        setattr(operator.attrgetter(section)(config) if section else config, leaf, value)


def describe(kind: Any) -> str:
    """What a field of this type takes, in words."""
    if isinstance(kind, types.UnionType):
        return " or ".join(map(describe, typing.get_args(kind)))
    if typing.get_origin(kind) is tuple:
        return f"a tuple, each element {describe(typing.get_args(kind)[0])}"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(kind, "none")


def to_dict(config: Any) -> dict[str, Any]:
    """The configuration as nested dictionaries of what JSON can hold."""
    return dataclasses.asdict(
        config, dict_factory=lambda items: {name: list(x) if isinstance(x, tuple) else x for name, x in items}
    )


def from_dict(values: Any, kind: type = Experiment) -> Any:
    """The configuration that `to_dict` gave. Raises ValueError on a field that is not known."""
    hints = typing.get_type_hints(kind)
    if not isinstance(values, dict):
        raise ValueError(f"{kind.__name__} is {values!r}; it must be an object with the fields {', '.join(hints)}")
    config = kind()
    for name, value in values.items():
        if name not in hints:
            near = "; it is called 'std' now" if name == "deviation" else did_you_mean(name, hints)
            raise ValueError(f"{kind.__name__} has no field {name!r}{near}")
        if dataclasses.is_dataclass(hints[name]):
            setattr(config, name, from_dict(value, hints[name]))
        else:
            setattr(config, name, tuple(value) if isinstance(value, list) else value)
    return config


def validate(config: Experiment) -> None:
    """Raises ValueError for the first impossible value, with its field, what was given and what is allowed."""
    _check_types(config)
    for name, allowed, possible in _rules(config):
        if not possible:
            raise ValueError(f"config.{name} is {flatten(config)[name]!r}; it must be {allowed}")


def _check_types(config: Any, prefix: str = "config.") -> None:
    for name, kind in typing.get_type_hints(type(config)).items():
        value = getattr(config, name)
        if not dataclasses.is_dataclass(kind):
            if not _is_a(value, kind):
                raise ValueError(f"{prefix}{name} is {value!r}; it must be {describe(kind)}")
        elif isinstance(value, typing.cast(type, kind)):
            _check_types(value, f"{prefix}{name}.")
        else:
            raise ValueError(f"{prefix}{name} is {value!r}; it must be a {typing.cast(type, kind).__name__}")


def _is_a(value: Any, kind: Any) -> bool:
    if isinstance(kind, types.UnionType):
        return any(_is_a(value, member) for member in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_is_a(item, typing.get_args(kind)[0]) for item in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _rules(config: Experiment) -> Iterable[tuple[str, str, bool]]:
    """(field, what is allowed, whether its value is) for every value that its type alone does not bound.

    A rule may rely on those before it: the first that does not hold ends the validation.
    """
    model, data, optimizer = config.model, config.data, config.optimizer
    for name in ("model.name", "data.name", "data.train_split", "data.test_split"):
        yield name, "a name, which cannot be empty", bool(flatten(config)[name])
    yield "model.ratio", "a positive number, or none", model.ratio is None or 0 < model.ratio < inf
    for name, choices in CHOICES.items():
        yield name, f"one of {', '.join(map(str, choices))}", flatten(config)[name] in choices
    stages = model.attention_stages
    distinct = stages is None or (len(set(stages)) == len(stages) > 0 and min(stages) > 0)
    yield "model.attention_stages", "one or more different numbers of stages, or none", distinct
    yield "model.drop_path", "at least 0 and less than 1", 0 <= model.drop_path < 1
    for name in ("batch_size", "eval_batch_size", "keep_checkpoints"):
        yield name, "1 or more", getattr(config, name) >= 1
    group = model.statistics_group
    divides = f"a positive number that divides config.batch_size, {config.batch_size}, or none"
    yield "model.statistics_group", divides, group is None or (group > 0 and config.batch_size % group == 0)
    folder = "the directory that holds <split>/<class>/<image> where config.data.name is 'folder', and else none"
    yield "data.path", folder, bool(data.path) if data.name == "folder" else data.path is None
    yield "data.image_size", "a positive number of pixels", data.image_size > 0
    yield "data.mean", "one or more finite numbers", data.mean != () and all(-inf < x < inf for x in data.mean)
    stds = "positive numbers, one or as many as config.data.mean has"
    positive = all(0 < x < inf for x in data.std)
    yield "data.std", stds, positive and len(data.std) in (1, len(data.mean))
    yield "data.crop_padding", "0 or more pixels", data.crop_padding >= 0
    no_padding = "0 where config.data.random_resized_crop is true"
    yield "data.crop_padding", no_padding, not (data.random_resized_crop and data.crop_padding)
    yield "data.cutout", f"from 0 to config.data.image_size, {data.image_size}", 0 <= data.cutout <= data.image_size
    yield "data.center_crop", "more than 0 and at most 1", 0 < data.center_crop <= 1
    yield "data.workers", "0 or more", data.workers >= 0
    yield "data.memory_limit_gib", "0 or more", data.memory_limit_gib >= 0
    yield "data.bad_images", "at least 0 and less than 1", 0 <= data.bad_images < 1
    yield "optimizer.learning_rate", "a positive number", 0 < optimizer.learning_rate < inf
    yield "optimizer.momentum", "at least 0 and less than 1", 0 <= optimizer.momentum < 1
    yield "optimizer.weight_decay", "0 or more", 0 <= optimizer.weight_decay < inf
    clip = optimizer.clip_norm
    yield "optimizer.clip_norm", "a positive number, or none", clip is None or 0 < clip < inf
    decays = (
        "one or more durations for schedule 'step'"
        if optimizer.schedule == "step"
        else f"empty for schedule {optimizer.schedule!r}: give --config.optimizer.decay_at="
    )
    yield "optimizer.decay_at", decays, (optimizer.decay_at != ()) == (optimizer.schedule == "step")
    yield "optimizer.decay_factor", "more than 0 and at most 1", 0 < optimizer.decay_factor <= 1
    yield "optimizer.label_smoothing", "at least 0 and less than 1", 0 <= optimizer.label_smoothing < 1
    ema = optimizer.ema_decay
    yield "optimizer.ema_decay", "more than 0 and less than 1, or none", ema is None or 0 < ema < 1
    stuck = config.stuck_after
    yield "stuck_after", "a positive number of seconds, or none", stuck is None or 0 < stuck < inf
    yield "init.weights", "the name of a source, or none", config.init.weights != ""
    inserts = config.init.insert_se
    yield "init.insert_se", "false if config.init.weights is none", not (inserts and config.init.weights is None)
    yield "init.insert_se", "false if config.model.attention is 'none'", not (inserts and model.attention == "none")
    yield "seed", "0 or more, and less than 2**31", 0 <= config.seed < 2**31
    yield from _duration_rules(config)


def _duration_rules(config: Experiment) -> Iterable[tuple[str, str, bool]]:
    """The rules of durations, as `_rules` gives them."""
    optimizer = config.optimizer
    for name in ("duration", "log_every", "eval_every", "checkpoint_every"):
        parsed = _parse_duration(getattr(config, name))
        yield name, _A_DURATION, parsed is not None
        yield name, f"more than 0 {parsed and parsed[1]}", bool(parsed and parsed[0])
    total, warmup = _parse_duration(config.duration), _parse_duration(optimizer.warmup)
    yield "optimizer.warmup", _A_DURATION, warmup is not None
    if total and warmup and total[1] == warmup[1]:
        yield "optimizer.warmup", f"less than config.duration, {config.duration!r}", warmup[0] < total[0]
    times = [_parse_duration(time) for time in optimizer.decay_at]
    yield "optimizer.decay_at", f"durations, each {_A_DURATION}", None not in times
    distinct = len(set(times)) == len(times) and all(time and time[0] for time in times)
    yield "optimizer.decay_at", "durations of more than 0, none of them twice", distinct
