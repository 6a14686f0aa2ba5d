"""The typed configuration: durations, dictionaries, and every value that is refused."""

import json
import operator
from contextlib import nullcontext
from typing import get_args

import pytest

from senet_jax import modules, ops, schema, words
from senet_jax.config import Experiment, OptimizerConfig
from senet_jax.durations import is_due, to_steps
from senet_jax.schema import validate


def changed(**values) -> Experiment:
    """The default experiment with some leaves changed; `__` stands for the dot."""
    config = Experiment()
    for name, value in values.items():
        *section, leaf = name.split("__")
        setattr(operator.attrgetter(".".join(section))(config) if section else config, leaf, value)
    return config


@pytest.mark.parametrize(
    ("duration", "steps"),
    [("500 steps", 500), ("1 step", 1), ("30 epochs", 300), ("0.5 epochs", 5), (" 2  epoch ", 20), ("0 steps", 0)],
)
def test_to_steps(duration, steps):
    assert to_steps(duration, steps_per_epoch=10) == steps


@pytest.mark.parametrize("period", [1.0, 1.49, 1.5, 2.5, 3.0, 22.46875, 781.25])
def test_multiples_of_a_period_are_due_at_the_nearest_step_and_do_not_drift(period):
    due = [step for step in range(1, 10_001) if is_due(step, period)]
    expected = [round(number * period) for number in range(1, 10_001) if round(number * period) <= 10_000]
    assert due == expected


@pytest.mark.parametrize(
    "duration", ["", "30", "epochs", "30 days", "-1 epochs", "nan epochs", "inf steps", "1.5 steps"]
)
def test_invalid_durations_are_refused(duration):
    with pytest.raises(ValueError, match=f"the duration is '{duration}'; it must be a number and its unit"):
        to_steps(duration, 10)
    with pytest.raises(ValueError, match=f"config.eval_every is '{duration}'; it must be a number and its unit"):
        validate(changed(eval_every=duration))


def test_dictionaries_and_json_keep_everything():
    config = changed(
        model__ratio=8, data__mean=(0.1, 0.2), data__flip=True, optimizer__decay_at=("1 epochs", "5 steps"), seed=3
    )
    assert schema.from_dict(Experiment, json.loads(json.dumps(schema.to_dict(config)))) == config
    assert schema.from_dict(Experiment, {}) == Experiment()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sead": 1}, "Experiment has no field 'sead'; did you mean 'seed'?"),
        ({"model": {"ratoi": 8}}, "ModelConfig has no field 'ratoi'; did you mean 'ratio'?"),
        ({"model": 8}, "ModelConfig is 8; it must be an object with the fields name, ratio, attention, squeeze"),
        ([], "Experiment is []; it must be an object with the fields model, data, optimizer, duration"),
    ],
)
def test_unknown_fields_of_a_dictionary_are_refused(values, message):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        schema.from_dict(Experiment, values)
    assert message in str(raised.value)


def test_flatten_names_every_leaf():
    leaves = schema.flatten(changed(model__ratio=8))
    assert leaves["model.ratio"] == 8
    assert leaves["batch_size"] == 128
    assert list(leaves) == list(schema.field_types(Experiment))
    assert schema.flatten(OptimizerConfig())["learning_rate"] == 0.1


def test_a_misspelt_attribute_is_refused():
    with pytest.raises(AttributeError, match="'ModelConfig' object has no attribute 'ratoi'"):
        Experiment().model.ratoi = 8  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"model__ratio": 8},
        {"model__ratio": 0.5, "model__dtype": "bfloat16", "model__statistics_group": 32},
        {"data__name": "folder", "data__path": "images"},
        {"data__mean": (0.5, 0.4, 0.3), "data__std": (0.2, 0.2, 0.2)},
        {"data__cutout": 8},
        {"optimizer__schedule": "step", "optimizer__decay_at": ("3 epochs", "6 epochs")},
        {"optimizer__warmup": "100 steps", "optimizer__clip_norm": 1, "optimizer__ema_decay": 0.999},
    ],
)
def test_possible_values(values):
    validate(changed(**values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "resnet"}, "config.model is 'resnet'; it must be a ModelConfig"),
        ({"batch_size": 8.0}, "config.batch_size is 8.0; it must be a whole number of 1 or more"),
        ({"batch_size": True}, "config.batch_size is true; it must be a whole number"),
        ({"data__flip": 1}, "config.data.flip is 1; it must be true or false"),
        ({"model__ratio": "8"}, "config.model.ratio is '8'; it must be a positive number, or none"),
        ({"data__mean": [0.5]}, "config.data.mean is [0.5]; it must be one or more finite numbers"),
        (
            {"optimizer__decay_at": (3,)},
            "config.optimizer.decay_at is (3,); it must be a tuple, each element a number and its",
        ),
        ({"duration": 5}, "config.duration is 5; it must be a number and its unit"),
        ({"model__name": ""}, "config.model.name is ''; it must be the name of a network"),
        ({"data__test_split": ""}, "config.data.test_split is ''; it must be a name"),
        ({"model__ratio": 0}, "config.model.ratio is 0; it must be a positive number, or none"),
        ({"model__ratio": float("nan")}, "config.model.ratio is nan; it must be a positive number"),
        ({"model__dtype": "float16"}, "config.model.dtype is 'float16'; it must be one of float32, bfloat16"),
        ({"model__statistics_group": 48}, "is 48; it must be a positive number that divides config.batch_size, 128"),
        (
            {"model__statistics_group": 0},
            "config.model.statistics_group is 0; it must be a whole number of 1 or more, or none",
        ),
        (
            {"batch_size": 0, "model__statistics_group": 32},
            "config.batch_size is 0; it must be a whole number of 1 or more",
        ),
        ({"eval_batch_size": -1}, "config.eval_batch_size is -1; it must be a whole number of 1 or more"),
        ({"keep_checkpoints": 0}, "config.keep_checkpoints is 0; it must be a whole number of 1 or more"),
        ({"data__name": "folder"}, "config.data.path is none; it must be the directory that holds <split>"),
        ({"data__path": "images"}, "config.data.path is 'images'; it must be the directory"),
        ({"data__image_size": 0}, "config.data.image_size is 0; it must be a whole number of 1 or more"),
        ({"data__mean": ()}, "config.data.mean is (); it must be one or more finite numbers"),
        ({"data__std": (0.0,)}, "config.data.std is (0.0,); it must be a tuple, each element a positive number"),
        ({"data__std": (1.0, 1.0)}, "one or as many as config.data.mean has"),
        ({"data__crop_padding": -4}, "config.data.crop_padding is -4; it must be a whole number of 0 or more"),
        (
            {"data__crop_padding": 4, "data__random_resized_crop": True},
            "config.data.crop_padding is 4; it must be 0 if config.data.random_resized_crop is true",
        ),
        ({"data__cutout": -1}, "config.data.cutout is -1; it must be a whole number of 0 or more"),
        (
            {"optimizer__loss": "binary_cross_entropy", "optimizer__label_smoothing": 0.1},
            "config.optimizer.label_smoothing is 0.1; it must be 0 if config.optimizer.loss is 'binary_cross_entropy'",
        ),
        ({"data__cutout": 9}, "config.data.cutout is 9; it must be from 0 to config.data.image_size, 8"),
        (
            {"data__center_crop": 1.5},
            "config.data.center_crop is 1.5; it must be a number of more than 0 and at most 1",
        ),
        ({"data__workers": -1}, "config.data.workers is -1; it must be a whole number of 0 or more"),
        ({"data__memory_limit_gib": -1.0}, "config.data.memory_limit_gib is -1.0; it must be a number of 0 or more"),
        ({"optimizer__learning_rate": -0.1}, "config.optimizer.learning_rate is -0.1; it must be a positive number"),
        ({"optimizer__learning_rate": float("inf")}, "config.optimizer.learning_rate is inf; it must be a positive"),
        (
            {"optimizer__momentum": 1.0},
            "config.optimizer.momentum is 1.0; it must be a number of at least 0 and less than 1",
        ),
        (
            {"optimizer__weight_decay": -1e-4},
            "config.optimizer.weight_decay is -0.0001; it must be a number of 0 or more",
        ),
        ({"optimizer__clip_norm": 0}, "config.optimizer.clip_norm is 0; it must be a positive number, or none"),
        (
            {"optimizer__schedule": "cosin"},
            "schedule is 'cosin'; it must be one of cosine, polynomial, step, constant; did you mean 'cosine'?",
        ),
        ({"optimizer__schedule": "step"}, "decay_at is (); it must be one or more durations for schedule 'step'"),
        ({"optimizer__decay_at": ("1 epochs",)}, "is ('1 epochs',); it must be empty for schedule 'cosine'"),
        (
            {"optimizer__decay_factor": 2.0},
            "config.optimizer.decay_factor is 2.0; it must be a number of more than 0 and at most 1",
        ),
        (
            {"optimizer__label_smoothing": 1},
            "config.optimizer.label_smoothing is 1; it must be a number of at least 0 ",
        ),
        ({"optimizer__ema_decay": 1.0}, "config.optimizer.ema_decay is 1.0; it must be a number of more than 0 and"),
        ({"seed": -1}, "config.seed is -1; it must be a whole number of 0 or more, and less than 2**31"),
        (
            {"duration": "0 epochs"},
            "config.duration is '0 epochs'; it must be a number and its unit",
        ),
        (
            {"checkpoint_every": "0 step"},
            "config.checkpoint_every is '0 step'; it must be a number and its unit, such as",
        ),
        (
            {"optimizer__kind": "adamw", "optimizer__arguments": ("b1=1",)},
            "config.optimizer.arguments is ('b1=1',); it must be NAME=NUMBER, each name once, of the arguments of "
            "config.optimizer.kind (adamw: b1=0.9 in [0, 1), b2=0.999 in [0, 1), eps=",
        ),
        (
            {"optimizer__kind": "muon", "optimizer__arguments": ("ns_steps=5.7",)},
            "config.optimizer.arguments is ('ns_steps=5.7',); it must be NAME=NUMBER, each name once",
        ),
        ({"optimizer__warmup": "long"}, "config.optimizer.warmup is 'long'; it must be a number and its unit"),
        (
            {"optimizer__warmup": "10 epochs"},
            "config.optimizer.warmup is '10 epochs'; it must be less than config.duration, '10 epochs'",
        ),
        (
            {"optimizer__schedule": "step", "optimizer__decay_at": ("3 epochs", "6")},
            "config.optimizer.decay_at is ('3 epochs', '6'); it must be a tuple, each element a number and its",
        ),
        (
            {"optimizer__schedule": "step", "optimizer__decay_at": ("3 epochs", "3 epoch")},
            "it must be durations, none of them twice",
        ),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        validate(changed(**values))
    assert str(raised.value).startswith("config.")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("times", "late"),
    [("19 steps", False), ("20 steps", True), ("9 epochs, 5 steps", False), ("5 steps, 2e1 steps", True)],
)
def test_a_decay_after_the_end_is_refused_if_the_units_are_the_same(times, late):
    decays = tuple(times.split(", "))
    config = changed(duration="20 steps", optimizer__schedule="step", optimizer__decay_at=decays)
    message = "it must be durations before the end of training, '20 steps': give earlier times, or --"
    with pytest.raises(ValueError, match=message) if late else nullcontext():
        validate(config)


def test_every_bounded_field_has_a_rule():
    kinds = schema.field_types(Experiment)
    unbounded = {name for name, kind in kinds.items() if schema.describe(kind) in ("true or false", "text, or none")}
    assert unbounded == {
        "data.data_dir", "data.path", "data.random_resized_crop", "data.flip", "optimizer.nesterov", "model.use_bias",
        "init.insert_se", "model.remat",
    }  # fmt: skip


def test_fields_that_can_change_when_a_run_goes_on():
    kinds = schema.field_types(Experiment)
    assert [name for name, kind in kinds.items() if schema.extras(kind, schema.Adjustable)] == [
        "data.path", "data.data_dir", "data.workers", "data.memory_limit_gib", "data.bad_images", "optimizer.bad_steps",
        "eval_batch_size", "keep_checkpoints", "stuck_after",
    ]  # fmt: skip


def test_the_words_of_the_fields_have_functions_and_modules():
    assert get_args(words.Attention) == tuple(modules.ATTENTIONS)
    assert get_args(words.Squeeze) == tuple(ops.SQUEEZES)
    assert get_args(words.Activation) == tuple(ops.ACTIVATIONS)
    assert get_args(words.Gate) == tuple(ops.GATES)
