"""`launch.py convert`."""

import jax
import numpy as np
import pytest

from senet_jax import create_model, load_weights
from senet_jax.commands.command_line import main
from senet_jax.weights import Preprocessing, save_weights
from senet_jax.weights.files import read_tensors, write_tensors

NAME = "se_resnet20_cifar"
IMAGES = Preprocessing(32, 1.0, "bicubic", (0.5, 0.25, 0.125), (1, 1, 2))


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """The path of a file of ours for NAME."""
    monkeypatch.chdir(tmp_path)
    model = create_model(NAME)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jax.numpy.zeros((1, 32, 32, 3)), train=False))
    variables = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.5, leaf.dtype), shapes)
    save_weights("a.safetensors", variables, model=NAME, preprocessing=IMAGES, source="a kind person")
    return tmp_path / "a.safetensors"


def convert(words):
    main(["convert", f"--model={NAME}", *words.split()])


def test_the_written_file_is_printed(weights, capsys):
    convert("--weights=a.safetensors --output=b.safetensors")
    lines = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines() if line)
    assert {name: value.strip() for name, value in lines.items()} == {
        "network": "se_resnet20_cifar, 10 classes",
        "weights": "143 tensors, 274,847 parameters",
        "images": "32 x 32 pixels, crop 1, bicubic, mean 0.5, 0.25, 0.125, std 1, 1, 2",
        "source": "a kind person",
        "written": "b.safetensors",
    }
    (before, header), (after, same) = map(read_tensors, (weights, "b.safetensors"))
    assert header == same
    jax.tree.map(np.testing.assert_array_equal, before, after)


@pytest.mark.slow
def test_another_number_of_classes(weights):
    convert("--weights=a.safetensors --output=b.safetensors --num_classes=7")
    variables = load_weights(create_model(NAME, 7), "b.safetensors")
    assert np.std(variables["params"]["head"]["kernel"]) > 0
    assert read_tensors("b.safetensors")[1]["num_classes"] == "7"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "convert needs --weights=SOURCE: Trained network: a workdir, a weight file, a folder in timm's format"),
        ("--weights=a.safetensors", "convert needs --output=FILE.safetensors|FOLDER: Name of a new file, or"),
        ("--weights=a.safetensors --output=b.pth", "--output is 'b.pth'; it must end in .safetensors, or in n"),
        ("--weights=a.safetensors --output=gs://b/b.safetensors", "--output=gs://b/b.safetensors: it must be a l"),
        ("--weights=a.safetensors --output=a.safetensors", "--output is 'a.safetensors', which exists already; give"),
        ("--weights=a.safetensors --output=x/b.safetensors", "'x/b.safetensors', but there is no directory 'x'"),
        ("--weights=absent --output=b.safetensors", "there is no weight file 'absent'"),
        ("--weights=damaged --output=b.safetensors", "damaged cannot be read as a weight file: it is empty"),
        ("--weights=other --output=b.safetensors", "other does not hold the weights of this ResNet; missing: bn1.bias"),
        (
            "--weights=a.safetensors --output=b.safetensors --num_classes=-1",
            "--num_classes is -1; it must be a whole number of 1",
        ),
        (
            "--weights=a.safetensors --output=b.safetensors --workdir=x",
            "convert takes --model, --step, --weights, --output, ",
        ),
    ],
)
def test_errors_are_one_line_and_nothing_is_written(words, message, weights, capsys):
    weights.with_name("damaged").write_bytes(b"")
    write_tensors("other", {"conv1.weight": np.zeros((16, 3, 3, 3), np.float32)}, {})
    with pytest.raises(SystemExit) as raised:
        convert(words)
    assert raised.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert {path.name for path in weights.parent.iterdir()} == {"a.safetensors", "damaged", "other"}
