"""`launch.py cost`."""

import json

import jax
import numpy as np
import pytest

from senet_jax import create_model
from senet_jax.commands.command_line import main
from senet_jax.config import DataConfig, Experiment, ModelConfig
from senet_jax.models.parameters import abstract_variables
from senet_jax.schema import to_dict
from senet_jax.weights import Preprocessing, save_weights


def table(words, capsys):
    main(["cost", *words.split()])
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_a_line_for_each_stage_and_the_network_without_squeeze_and_excitation(capsys):
    lines = table("--model=se_resnet20_cifar", capsys)
    assert " ".join(lines[0]) == "se_resnet20_cifar, images of 32 x 32 pixels"
    assert [line[0] for line in lines[4:10]] == ["stem", "stage2", "stage3", "stage4", "head", "total"]
    assert lines[4][:4] == ["stem", "464", "442,368", "16,384"]
    assert lines[4][5:] == ["-", "-", "-", "-"]
    assert lines[5][:4] == ["stage2", "14,163", "14,155,872", "98,355"]
    assert lines[5][5:8] == ["1.04%", "0.00%", "0.05%"]
    assert lines[9][:4] == ["total", "274,847", "40,815,200", "201,071"]
    assert lines[10][:5] == ["without", "SE", "272,474", "40,813,184", "200,714"]
    assert lines[11][:5] == ["SE", "adds", "2,373", "2,016", "357"]
    assert lines[12][:3] == ["+0.87%", "+0.00%", "+0.18%"]


def test_options(capsys):
    lines = table("--model=se_resnet20_cifar --ratio=8 --image_size=16 --num_classes=100 --depth=3", capsys)
    head, block, se = (next(line for line in lines if line[:1] == [name]) for name in ("head", "block1", "se"))
    assert head[:4] == ["head", "6,500", "6,400", "100"]
    assert block[:4] == ["block1", "4,754", "1,179,712", "8,210"]
    assert se[:4] == ["se", "82", "64", "18"]
    assert se[5:] == ["100.00%"] * 4


def test_a_plain_network_has_no_columns_of_squeeze_and_excitation(capsys):
    lines = table("--model=resnet20_cifar", capsys)
    assert lines[8][:4] == ["total", "272,474", "40,813,184", "200,714"]
    assert {len(line) for line in lines[2:9]} == {4, 5}
    assert lines[9] == []


def test_the_network_of_an_experiment_or_of_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    lines = table("--config.model.ratio=8", capsys)
    assert " ".join(lines[0]) == "se_resnet20_cifar, images of 8 x 8 pixels, grey"
    assert next(line for line in lines if line[:1] == ["total"])[1] == "276,596"
    config = to_dict(Experiment(ModelConfig("resnet20_cifar"), DataConfig(image_size=16)))
    (tmp_path / "config.json").write_text(json.dumps(config))
    lines = table(f"--workdir={tmp_path} --num_classes=100", capsys)
    assert " ".join(lines[0]) == "resnet20_cifar, images of 16 x 16 pixels, grey"
    assert next(line for line in lines if line[:1] == ["head"])[1] == "6,500"
    with pytest.raises(SystemExit):
        main(["cost", "--model=resnet18", f"--workdir={tmp_path}"])
    assert "cost takes one network: give either --model, or --config and" in capsys.readouterr().err


def test_images_have_the_size_of_the_weights(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    weights, model = tmp_path / "weights.safetensors", ModelConfig("resnet20_cifar")
    variables = jax.tree.map(
        lambda leaf: np.zeros(leaf.shape, leaf.dtype),
        abstract_variables(create_model("resnet20_cifar"), jax.ShapeDtypeStruct((1, 8, 8, 3), "float32"), train=False),
    )
    images = Preprocessing(48, 1, "bilinear", (0.5,) * 3, (0.25,) * 3)
    save_weights(weights, variables, model=model, preprocessing=images, source="test")
    words = "--config.model.name=resnet20_cifar --config.init.preprocessing=weights --config.init.weights="
    assert " ".join(table(f"{words}{weights}", capsys)[0]) == "resnet20_cifar, images of 48 x 48 pixels, grey"
    with pytest.raises(SystemExit):
        main(["cost", *f"{words}absent.safetensors".split()])
    assert "; --image_size=PIXELS counts without them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--model=resnet18 --config.model.ratio=8", "cost takes one network: give either --model, or --config and"),
        ("--ratio=8", "--ratio is for --model; give --config.model.ratio=8"),
        ("--workdir=absent", "--workdir is 'absent', without a config.json"),
    ],
)
def test_a_network_given_twice_or_not_at_all(words, message, capsys):
    with pytest.raises(SystemExit):
        main(["cost", *words.split()])
    assert message in capsys.readouterr().err
