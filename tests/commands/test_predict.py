"""`launch.py predict`."""

import json
import os
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import ChannelMeans
from PIL import Image

import senet_jax
from senet_jax.commands.command_line import main
from senet_jax.commands.predict import _files
from senet_jax.config import ModelConfig
from senet_jax.files import read_table
from senet_jax.weights import Preprocessing, save_weights
from senet_jax.weights.source import Loaded

CLASSES = ("dark", "middle", "bright")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network whose logits are a bias, and three images, one of them broken."""
    path = tmp_path_factory.mktemp("predict")
    model = senet_jax.create_model("resnet20_cifar", 3)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jax.numpy.zeros((1, 8, 8, 3)), train=False))
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    variables["params"]["head"]["bias"] = np.log(np.array([0.25, 0.625, 0.125], np.float32))
    images = Preprocessing(8, 1.0, "bilinear")
    options = {"model": "resnet20_cifar", "preprocessing": images, "source": "here", "class_names": CLASSES}
    save_weights(path / "a.safetensors", variables, **options)
    (path / "images").mkdir()
    for name, value in (("a", 0), ("b.jpg", 200)):
        kind = "JPEG" if "." in name else "PNG"
        Image.fromarray(np.full((9, 12, 3), value, np.uint8)).save(path / "images" / name, kind)
    return path


def predict(folder, words):
    main(["predict", f"--weights={folder}/a.safetensors", *words.split()])


def test_a_table_of_a_directory_and_a_pattern(folder, capsys):
    predict(folder, f"{folder}/images {folder}/images/*.jpg --top=2 --batch_size=2")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    two = [["middle", "62.50%"], ["dark", "25.00%"]]
    assert [line[-2:] for line in lines] == two * 2  # The image that is named twice is shown once.
    assert [line[0].rpartition("/")[2] for line in lines[::2]] == ["a", "b.jpg"]


def test_each_file_has_the_answer_to_its_own_pixels(tmp_path, monkeypatch, capsys):
    names = ("red", "green", "blue")
    images = Preprocessing(8, 1.0, "bilinear", mean=(0.0,) * 3, std=(1.0,) * 3)
    steps = []

    def load(weights, model, step):
        steps.append(step)
        return Loaded(ChannelMeans(num_classes=3), {}, images, names, ModelConfig(), "here")

    monkeypatch.setattr(senet_jax, "load", load)
    for number, name in enumerate(names):
        pixels = np.zeros((9, 12, 3), np.uint8)
        pixels[..., number] = 200
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    for step in ("newest", "best", "7"):
        predict(tmp_path, f"{tmp_path} --batch_size=2 --top=1 --step={step} --output={tmp_path}/{step}.csv")
        rows = read_table(tmp_path / f"{step}.csv")
        assert {Path(row["file"]).stem: row["class"] for row in rows} == {name: name for name in names}
    assert steps == ["newest", "best", 7]


def test_a_name_that_is_not_text(folder, capsys, tmp_path):
    file = os.fsencode(tmp_path) + b"/caf\xe9.png"
    shutil.copy(folder / "images" / "a", file)
    for output in ("", f" --output={tmp_path}/o.csv"):
        predict(folder, os.fsdecode(file) + output)
    assert "caf\N{REPLACEMENT CHARACTER}.png" in capsys.readouterr().out
    assert (tmp_path / "o.csv").read_bytes().splitlines()[1].startswith(file)


def test_folders_that_are_links_are_searched_and_hidden_ones_are_not(tmp_path):
    for name in ("one/a.png", "top/.hidden/b.png", "top/.c.png", "top/two/d.png", "top/two/e.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "top/link").symlink_to(tmp_path / "one")
    assert _files(str(tmp_path / "top")) == [tmp_path / "top/link/a.png", tmp_path / "top/two/d.png"]


def test_files_and_a_bad_one(folder, capsys, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    for name in ("o.csv", "o.jsonl"):
        with pytest.raises(SystemExit) as raised:
            predict(folder, f"{folder}/images/a {bad} {folder}/images/b.jpg --output={tmp_path}/{name}")
        assert raised.value.code == 1
        assert f"{bad} is skipped: not an image that Pillow can read" in capsys.readouterr().err
    rows = read_table(tmp_path / "o.csv")
    assert [row["class"] for row in rows] == ["middle", "dark", "bright"] * 2
    assert float(rows[0]["probability"]) == pytest.approx(0.625)
    first, last = map(json.loads, (tmp_path / "o.jsonl").read_text().splitlines())
    assert first["predictions"][0] == {"class": "middle", "probability": pytest.approx(0.625)}
    assert last["file"] == f"{folder}/images/b.jpg"


def test_from_python(folder, unchecked_types):
    loaded = senet_jax.load(folder / "a.safetensors")
    (first, *_), _ = loaded.predict([folder / "images" / "a", np.zeros((20, 10), np.uint8)], top=2)
    assert first == ("middle", pytest.approx(0.625))
    assert loaded.predict([]) == []
    for wrong, message in (
        ("a.png", "images is the path 'a.png'; it must be a list"),
        (np.zeros((8, 8, 3), np.uint8), "images is one ndarray; it must be a list, even of one image"),
        (jnp.zeros((8, 8, 1), jnp.uint8), "images is one Array"),
        (Image.new("RGB", (8, 8)), "images is one Image; it must be a list"),
        ([None], "the image is of NoneType; it must be a path, a PIL image or a NumPy array"),
        ([np.zeros((0, 8, 3), np.uint8)], r"an array of uint8, \(0, 8, 3\); it must be of uint8"),
    ):
        with pytest.raises(ValueError, match=message):
            loaded.predict(wrong)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "predict needs images: files, directories or patterns"),
        ("absent*.png", "there are no images 'absent*.png'; give files"),
        ("x --output=x.txt", "--output is 'x.txt'; it must end in .csv, or in .jsonl"),
        ("x --top=0", "--top is 0; it must be a whole number of 1 or more"),
    ],
)
def test_invalid_flags_are_refused(words, message, folder, capsys):
    with pytest.raises(SystemExit) as raised:
        predict(folder, words)
    assert raised.value.code == 2
    assert message in capsys.readouterr().err
