"""The typed configuration of an experiment, which a file in `experiments/` returns and `--config.x.y=z` overrides.

A new field is one entry here: name, type, default, and the string below it for `--help` and docs. Its type bounds it: a
`Literal` of words, a type of `bounds.py`, a `Relation` to other fields. `Adjustable` marks a field that changes nothing
that a run learns. `schema.py` checks all fields. Standard library only.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from senet_jax import bounds, words
from senet_jax.bounds import Count, CountOrZero, Name, NotNegative, Positive, Rate, Share
from senet_jax.durations import Duration, DurationOrZero, is_before, parse
from senet_jax.optimizers import Optimizer, described_arguments, read_arguments
from senet_jax.schema import Adjustable, Relation


@dataclass(slots=True)
class ModelConfig:
    """The network and its precision."""

    name: bounds.Network = "se_resnet20_cifar"
    """Network that is trained."""
    ratio: Positive | None = None
    """Reduction ratio of the squeeze-and-excitation blocks; none: the network's own."""
    attention: Literal["own", "none", words.Attention] = "own"
    """Attention module; "own": the network's, "none": none, whatever the other fields of the SE block."""
    squeeze: words.Squeeze = "mean"
    """Squeeze of the SE block; "both": mean and maximum, "none": gates at every position."""
    activation: words.Activation = "relu"
    """Activation between the SE block's dense layers."""
    gate: words.Gate = "sigmoid"
    """Gate function of the SE block."""
    use_bias: bool = True
    """Whether the dense layers of the SE block have biases; the paper's ablations have none."""
    placement: words.Placement = "standard"
    """Place of the SE block in a residual block (paper, section 6.5); "inner": after the 3x3 convolution."""
    attention_stages: bounds.Stages | None = None
    """Stages with an SE block, counted from 2 in ResNets; none: all."""
    drop_path: Rate = 0.0
    """Stochastic depth: drop rate of the last residual branch; it rises linearly from 0 at the first."""
    remat: bool = False
    """Rematerialisation: whether backward computes the maps inside of blocks again; less memory, more time."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Compute type; parameters, statistics, gates and logits stay float32."""
    statistics_group: Annotated[
        Count | None,
        Relation(
            "a positive number that divides config.batch_size, {config.batch_size}, over config.accumulate, "
            "{config.accumulate}, or none",
            lambda group, config: group is None or config.batch_size % (group * config.accumulate) == 0,
        ),
    ] = None
    """Examples that share batch-norm statistics (ghost batch normalisation); none: the whole global batch."""


@dataclass(slots=True)
class DataConfig:
    """The dataset and its preprocessing."""

    name: Name = "digits"
    """"digits", "folder", or the name of any TFDS image classification dataset."""
    path: Annotated[
        str | None,
        Relation(
            "the directory that holds <split>/<class>/<image> if config.data.name is 'folder', and else none",
            lambda path, config: bool(path) if config.data.name == "folder" else path is None,
        ),
        Adjustable(by_host=True),
    ] = None
    """Directory that holds `<split>/<class>/<image>`, for "folder"."""
    data_dir: Annotated[str | None, Adjustable(by_host=True)] = None
    """Directory of prepared datasets; none: that of TFDS (TFDS_DATA_DIR, else ~/tensorflow_datasets)."""
    train_split: Name = "train"
    """Name of the split to train on."""
    test_split: Name = "test"
    """Name of the split to evaluate."""
    image_size: Count = 8
    """Height and width of the network's input, in pixels."""
    mean: bounds.Means = (0.5,)
    """Mean that is subtracted from pixels in [0, 1]: one value, or one for each channel."""
    std: Annotated[
        tuple[Positive, ...],
        Relation(
            "positive numbers, one or as many as config.data.mean has",
            lambda std, config: len(std) in (1, len(config.data.mean)),
        ),
    ] = (0.25,)
    """Std by which the difference is divided: one value, or one for each channel."""
    random_resized_crop: bool = False
    """Train on crops of 8 to 100 % of the area and 3/4 to 4/3 in aspect, resized to image_size (paper, section 5.1)."""
    crop_padding: Annotated[
        CountOrZero,
        Relation(
            "0 if config.data.random_resized_crop is true",
            lambda padding, config: not (padding and config.data.random_resized_crop),
        ),
    ] = 0
    """Train on random crops of the image padded with this many zero pixels on each side; 0: off."""
    flip: bool = False
    """Train on images mirrored left to right with probability 1/2."""
    cutout: Annotated[
        CountOrZero,
        Relation(
            "from 0 to config.data.image_size, {config.data.image_size}",
            lambda cutout, config: cutout <= config.data.image_size,
        ),
    ] = 0
    """Train on images with the mean in a square of this many pixels a side, somewhere: 16 on CIFAR-10, 8 on CIFAR-100
    (arXiv 1708.04552); 0: off."""
    rotation: NotNegative = 0.0
    """Train on images turned by at most this many degrees either way; 10 in the authors' later recipe."""
    rand_augment: bounds.Magnitude = 0.0
    """Train with RandAugment of this magnitude, two operations an image (arXiv 1909.13719, 2110.00476); 0: off."""
    color_jitter: NotNegative = 0.0
    """Train on images with brightness, contrast and saturation changed by at most this share; 0: off."""
    pixel_jitter: bounds.Intensity = 0
    """Train on images with random noise of at most this, either way, on values of 0 to 255; the authors' is 20."""
    random_erasing: bounds.Probability = 0.0
    """Train on images of which this share has a random rectangle replaced by noise (arXiv 1708.04896); 0: off."""
    mixup: NotNegative = 0.0
    """Train on mixtures of two images and their labels, with shares from a beta distribution with both parameters of
    this value (arXiv 1710.09412); 0: off. With `cutmix` too, either is chosen for a batch with probability 1/2."""
    cutmix: NotNegative = 0.0
    """Train on images with a rectangle of another, and both labels, with shares as for `mixup` (arXiv 1905.04899)."""
    repeats: Count = 1
    """Successive copies of each image, augmented independently (repeated augmentation, arXiv 1902.05509); an epoch then
    has 1 / repeats of the images. `mixup` and `cutmix` mix no copies of one image."""
    center_crop: Share = 1.0
    """Share of the shorter side that the central crop keeps; the paper tests at 224 of 256, 0.875."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    """Interpolation of the resizing before the central crop."""
    workers: Annotated[CountOrZero, Adjustable(by_host=True)] = 0
    """Worker processes that decode images; 0: threads of the main process. Unused for a dataset kept in memory."""
    memory_limit_gib: Annotated[NotNegative, Adjustable(by_host=True)] = 1.0
    """Largest decoded split, in GiB, that is kept in memory; a larger one is decoded in every epoch."""
    bad_images: Annotated[Rate, Adjustable()] = 0.001
    """Largest share of a split's images that may be unreadable: training replaces them, evaluation leaves them out."""


@dataclass(slots=True)
class OptimizerConfig:
    """The optimizer, its schedule and the loss."""

    learning_rate: Positive = 0.1
    """Peak learning rate, for the whole batch."""
    momentum: Rate = 0.9
    """Momentum coefficient of "sgd", "rmsprop" and "lars"; of "lamb", that of the first moment."""
    nesterov: bool = True
    """Whether "sgd" and "lars" use Nesterov momentum."""
    weight_decay: NotNegative = 1e-4
    """Weight decay of kernels; biases and normalisation parameters have none. L2 for "sgd", "rmsprop", "lars"
    and "schedule_free_sgd", decoupled for the others."""
    clip_norm: Positive | None = None
    """Largest global norm of the gradient; none: no clipping."""
    schedule: Literal["cosine", "polynomial", "step", "constant"] = "cosine"
    """Schedule after the warm-up: "cosine" and "polynomial" to zero, "step" by decay_factor at each of decay_at."""
    decay_power: Positive = 2.0
    """Power of the remaining share of the time in schedule "polynomial"; 1: a straight line."""
    warmup: Annotated[
        DurationOrZero,
        Relation(
            "less than config.duration, {config.duration!r}",
            lambda warmup, config: is_before(warmup, config.duration),
        ),
    ] = "0 steps"
    """Duration of the linear warm-up from zero."""
    decay_at: Annotated[
        tuple[Duration, ...],
        Relation(
            "one or more durations for schedule 'step'",
            lambda times, config: times or config.optimizer.schedule != "step",
        ),
        Relation(
            "empty for schedule {config.optimizer.schedule!r}: give --config.optimizer.decay_at=",
            lambda times, config: not times or config.optimizer.schedule == "step",
        ),
        Relation("durations, none of them twice", lambda times, _: len(set(map(parse, times))) == len(times)),
        Relation(
            "durations before the end of training, {config.duration!r}: give earlier times, or "
            "--config.optimizer.schedule=cosine --config.optimizer.decay_at=",
            lambda times, config: all(is_before(time, config.duration) for time in times),
        ),
    ] = ()
    """Times of the decays of schedule "step", from the start of training, after the warm-up. Whether steps are before
    epochs depends on the number of training images, and is checked once that is known."""
    decay_factor: Share = 0.1
    """Factor of the learning rate at each decay of schedule "step"."""
    loss: Literal["cross_entropy", "binary_cross_entropy"] = "cross_entropy"
    """Training loss; "binary_cross_entropy": of each class by itself, with target 1 if it has more than a fifth of the
    image (arXiv 2110.00476)."""
    label_smoothing: Annotated[
        Rate,
        Relation(
            "0 if config.optimizer.loss is 'binary_cross_entropy', whose targets are 0 and 1",
            lambda smoothing, config: not smoothing or config.optimizer.loss == "cross_entropy",
        ),
    ] = 0.0
    """Share of the target probability that is spread evenly over all classes."""
    ema_decay: bounds.Decay | None = None
    """Decay of the exponential moving average of parameters and statistics, which is then evaluated; none: off. At
    step n it is at most (1 + n) / (10 + n), so that 0.999 is reached at step 8,990."""
    bad_steps: Annotated[CountOrZero, Adjustable()] = 0
    """Steps with a loss or a gradient that is not finite, whose updates are left out; one more ends the run."""
    kind: Annotated[
        Optimizer,
        Relation(
            "another optimizer for config.optimizer.schedule={config.optimizer.schedule!r}; schedule-free SGD needs "
            "'constant', and has config.optimizer.ema_decay=none",
            lambda kind, config: (
                kind != "schedule_free_sgd"
                or (config.optimizer.schedule == "constant" and config.optimizer.ema_decay is None)
            ),
        ),
    ] = "sgd"
    """Optimizer, all of them optax's; "lars" and "lamb": for large batches (arXiv 1708.03888, 1904.00962), "rmsprop":
    as TensorFlow has it, "muon": for kernels but the last layer's, with Adam at the same rate for all else (K. Jordan),
    "schedule_free_sgd": arXiv 2405.15682; evaluated at its mean, but with the running statistics of its training
    points."""
    arguments: Annotated[
        tuple[str, ...],
        Relation(
            f"NAME=NUMBER, each name once, of the arguments of config.optimizer.kind ({described_arguments()})",
            lambda arguments, config: read_arguments(config.optimizer.kind, arguments) is not None,
        ),
    ] = ()
    """Arguments of the optimizer that differ from its defaults, such as "b2=0.95"."""
    multipliers: bounds.Factors = ()
    """Factors of the learning rate for parameters whose paths match a pattern; of several that match, the product."""
    layer_decay: Share = 1.0
    """Factor of the learning rate from each block to the one before it; the last layer has the whole rate."""


@dataclass(slots=True)
class InitConfig:
    """The weights that training starts from."""

    weights: Name | None = None
    """Trained weights: a workdir, a weight file, a folder in timm's format or a hub repository; none: random values."""
    head: Literal["auto", "keep", "new"] = "auto"
    """Last layer: "keep" that of the weights, which must have the dataset's classes; "new": random values; "auto":
    "keep" if number and names of the classes are the dataset's, else "new". A thousand classes without names are
    taken for ImageNet's, others without names for the dataset's. The run says and records it."""
    preprocessing: Literal["weights", "normalisation", "config"] = "weights"
    """Preprocessing of the images: "weights": size, crop, interpolation, mean and std of the weights, "normalisation":
    their mean and std alone, "config": that of config.data. A run records what it found, as "config"."""
    freeze: tuple[Name, ...] = ()
    """Patterns of parameters that are not trained, such as "stem", "stage2" or "*/norm*"; a batch normalisation with a
    frozen parameter uses its running statistics."""
    insert_se: Annotated[
        bool,
        Relation("false if config.init.weights is none", lambda inserts, config: not inserts or config.init.weights),
        Relation(
            "false if config.model.attention is 'none'",
            lambda inserts, config: not inserts or config.model.attention != "none",
        ),
    ] = False
    """Whether the weights are of the plain twin of the network, into which its SE blocks are put without a change to
    the logits (`senet_jax.insert_se`)."""


@dataclass(slots=True)
class Experiment:
    """One experiment, whole. Durations are a number and its unit: "500 steps", "30 epochs", "0.5 epochs"."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    duration: Duration = "10 epochs"
    """Duration of training."""
    batch_size: Count = 128
    """Images in a training step, over all devices."""
    accumulate: Annotated[
        Count,
        Relation(
            "a number that divides config.batch_size, {config.batch_size}",
            lambda parts, config: config.batch_size % parts == 0,
        ),
    ] = 1
    """Gradient accumulation: parts of a batch, computed one by one. Batch normalisation is over each, or its groups."""
    eval_batch_size: Annotated[Count, Adjustable()] = 500
    """Images in an evaluation step, rounded up to a multiple of the devices; it only changes bfloat16 rounding."""
    seed: bounds.Seed = 0
    """Random seed for initialisation, data order and augmentation."""
    freeze_statistics_at: Annotated[
        Duration | None,
        Relation(
            "before the end of training, {config.duration!r}",
            lambda time, config: time is None or is_before(time, config.duration),
        ),
    ] = None
    """Time after which batch normalisation keeps its running statistics and uses them in training too, as the authors
    did for SENet-154; scale and bias are still trained. none: never."""
    log_every: Duration = "50 steps"
    """Time between two records of the training loss."""
    eval_every: Duration = "1 epochs"
    """Time between two evaluations on the test split."""
    best_by: Literal["accuracy", "top5_accuracy", "loss"] = "accuracy"
    """Test figure that chooses best.safetensors: the highest accuracy or the lowest loss, the first of equal ones."""
    checkpoint_every: Duration = "1 epochs"
    """Time between two checkpoints."""
    keep_checkpoints: Annotated[Count, Adjustable()] = 2
    """Number of newest checkpoints to keep."""
    stuck_after: Annotated[Positive | None, Adjustable(by_host=True)] = 1800.0
    """Seconds without a step, of training or evaluation, or for a checkpoint, after which the process prints the stacks
    of all threads and ends; none: it waits."""
    init: InitConfig = field(default_factory=InitConfig)
