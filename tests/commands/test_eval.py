"""`launch.py eval`, of a network that answers 0.625 middle, 0.25 dark and 0.125 bright to every image."""

import csv
import dataclasses
import json
import math

import jax
import numpy as np
import pytest
from networks import ChannelMeans
from PIL import Image

import senet_jax
from senet_jax.commands.command_line import main, parse
from senet_jax.commands.eval import _dataset, _note, _preprocessing
from senet_jax.config import DataConfig, Experiment, ModelConfig
from senet_jax.files import read_table
from senet_jax.weights import Preprocessing, save_weights
from senet_jax.weights.source import Loaded

pytestmark = pytest.mark.usefixtures("short_networks")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A weight file, class folders, and the directory of prepared datasets."""
    path = tmp_path_factory.mktemp("eval")
    model = senet_jax.create_model("resnet20_cifar", 3, stage_sizes=(1, 1, 1))
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jax.numpy.zeros((1, 8, 8, 3)), train=False))
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    variables["params"]["head"]["bias"] = np.log(np.array([0.25, 0.625, 0.125], np.float32))
    for name, classes in (("named", ("dark", "middle", "bright")), ("nameless", ())):
        options = {"model": "resnet20_cifar", "preprocessing": Preprocessing(8, 1.0), "source": "here"}
        save_weights(path / f"{name}.safetensors", variables, class_names=classes, **options)
    for split, classes in (
        ("test", ("middle", "dark")),
        ("train", ("dark", "lion")),
        ("rest", ("a", "b", "c")),
        ("ends", ("bright", "dark")),
    ):
        for number, name in enumerate(classes):
            (path / "images" / split / name).mkdir(parents=True)
            for image in range(number + 1):
                pixels = np.full((9, 12, 3), 40 * image, np.uint8)
                Image.fromarray(pixels).save(path / "images" / split / name / f"{image}.png")
    return path


def evaluate(place, weights, *words):
    data = (f"--config.data.path={place}/images", f"--config.data.data_dir={place}/prepared")
    main(["eval", f"--weights={place}/{weights}.safetensors", "--config.data.name=folder", *data, *words])


@pytest.mark.parametrize(
    ("trained", "evaluated", "note"),
    [
        ("train", "test", None),
        ("train[:80%]", "train[80%:]", None),
        ("train", "train[80%:]", "no test: the run was trained on images of the split 'train'"),
        ("train", "all", "no test: the run was trained on images of the split 'train'"),
        ("train[:500]", "train[500:]", "maybe no test: the run was trained on images of the split 'train[:500]'"),
        (None, "test", None),
        (None, "train[80%:]", "maybe no test: the weights may have been trained on images of the split 'train[80%:]'"),
    ],
)
def test_images_that_the_network_was_trained_on_are_noted(trained, evaluated, note):
    run = None if trained is None else Experiment(data=DataConfig(train_split=trained))
    assert _note(Experiment(data=DataConfig(test_split=evaluated)), run) == note


def test_images_at_another_place_may_be_those_of_the_run():
    run = Experiment(data=DataConfig("folder", path="here", train_split="train[:80%]"))
    said = "maybe no test: the run was trained on images of the split 'train[:80%]'"
    for split, note in (("train[80%:]", None), ("train", said)):
        assert _note(Experiment(data=DataConfig("folder", path="there", test_split=split)), run) == note


@pytest.mark.parametrize(
    ("test_split", "opened"), [("test", "train[:80%]"), ("extra", "extra"), ("train+x", "train+x")]
)
def test_other_splits_than_those_of_the_run_are_opened_alone(test_split, opened, monkeypatch):
    monkeypatch.setattr("senet_jax.data.open_dataset", lambda config: config)
    data = DataConfig("folder", path="here", train_split="train[:80%]")
    found = _dataset(dataclasses.replace(data, test_split=test_split), Experiment(data=data))
    assert (found.train_split, found.test_split) == (opened, test_split)


def test_images_are_normalised_as_the_weights_say(place, monkeypatch, capsys):
    """By the mean of ImageNet, the last channel would be the largest."""
    images = Preprocessing(8, 1.0, mean=(0.9, 0.1, 0.2), std=(1.0, 1.0, 1.0))
    classes = ("dark", "middle", "bright")
    loaded = Loaded(ChannelMeans(num_classes=3), {}, images, classes, ModelConfig(), "here")
    monkeypatch.setattr(senet_jax, "load", lambda *_, **__: loaded)
    evaluate(place, "named")
    assert "dark 2 0.00% middle (2) middle 1 100.00% 33.33%" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_classes_are_matched_by_name(place, tmp_path, capsys):
    evaluate(place, "named", f"--output={tmp_path / 'new'}")
    said = " ".join(capsys.readouterr().out.split())
    assert "classes 2 of the network's 3, by their names test accuracy 33.33%" in said
    assert "8 x 8 pixels, crop 1, bilinear, mean 0.485, 0.456, 0.406" in said
    assert "balanced accuracy 50.00%, the mean over the classes" in said
    assert "dark 2 0.00% middle (2) middle 1 100.00% 33.33%" in said
    figures = json.loads((tmp_path / "new" / "evaluation.json").read_text())
    assert figures["calibration_error"] == pytest.approx(0.625 - 1 / 3, abs=1e-6)
    rows = sorted(read_table(tmp_path / "new" / "predictions.csv"), key=lambda row: row["file"])
    assert [(row["file"], row["class"], row["rank_of_class"]) for row in rows] == [
        ("dark/0.png", "dark", "2"),
        ("dark/1.png", "dark", "2"),
        ("middle/0.png", "middle", "1"),
    ]
    assert {(row["predicted"], row["probability"]) for row in rows} == {("middle", "0.625")}
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names >= {"confusion.png", "confusion.svg", "confusion.csv", "classes.csv", "calibration.csv"}


@pytest.mark.slow
def test_a_subset_is_chosen_among_its_own_classes(place, tmp_path, capsys):
    evaluate(place, "named", "--config.data.test_split=ends", "--subset", f"--output={tmp_path / 'new'}")
    said = " ".join(capsys.readouterr().out.split())
    assert "classes 2 alone of the network's 3, by their names test accuracy 66.67%" in said.replace("ends", "test")
    rows = read_table(tmp_path / "new" / "predictions.csv")
    assert {(row["predicted"], row["probability"]) for row in rows} == {("dark", "0.666667")}
    with (tmp_path / "new" / "confusion.csv").open() as file:
        assert next(csv.reader(file)) == ["class", "dark", "bright"]
    figures = json.loads((tmp_path / "new" / "evaluation.json").read_text())
    assert figures["loss"] == pytest.approx(-(2 * math.log(2 / 3) + math.log(1 / 3)) / 3, rel=1e-5)


@pytest.mark.slow
def test_classes_without_names_are_taken_in_order_with_a_note(place, tmp_path, capsys):
    in_parts = ("--config.eval_batch_size=4", f"--output={tmp_path / 'new'}")
    evaluate(place, "nameless", "--config.data.test_split=rest", "--config.data.image_size=10", *in_parts)
    said = capsys.readouterr().out
    assert "the weights do not name theirs; taken to be those of the images" in said
    assert "10 x 10 pixels" in said
    assert "note" not in said
    rows = read_table(tmp_path / "new" / "predictions.csv")
    assert [row["example"] for row in rows] == list("012345")
    assert {row["file"] for row in rows} == {"a/0.png", "b/0.png", "b/1.png", "c/0.png", "c/1.png", "c/2.png"}


def test_three_means_are_refused_for_a_grey_network():
    request = parse(
        [
            "eval",
            "--weights=a",
            "--config.data.name=digits",
            "--config.data.mean=0.1,0.2,0.3",
            "--config.data.std=1,1,1",
        ]
    )
    with pytest.raises(ValueError, match=r"data.mean is \(0.1, 0.2, 0.3\); give one, or .*: the network has 1"):
        _preprocessing(Preprocessing(8, 1.0, mean=(0.5,), std=(0.25,)), request)


@pytest.mark.parametrize(
    ("weights", "words", "message"),
    [
        ("named", "--config.data.test_split=train", "1 of the dataset's 2 classes are not the network's: 'lion'; the"),
        ("nameless", "", "has 3 classes without names, and the dataset has 2"),
        ("named", "--config.model.name=resnet20_cifar", "--config.model.name is given, but the weights say which"),
        ("named", "--output=pyproject.toml", "--output is 'pyproject.toml', which is a file; give a directory"),
        ("named", "--output=pyproject.toml/new", "and 'pyproject.toml' is a file; give a directory"),
    ],
)
def test_invalid_evaluations_are_refused(place, weights, words, message, capsys):
    with pytest.raises(SystemExit) as raised:
        evaluate(place, weights, *words.split())
    assert raised.value.code == 2
    assert message in capsys.readouterr().err
