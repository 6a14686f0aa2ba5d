"""`launch.py analyze`."""

import dataclasses
import json
import re
from contextlib import closing

import jax.numpy as jnp
import numpy as np
import pytest
from networks import tiny_network
from PIL import Image
from random_variables import random_variables

from senet_jax.commands import analyze
from senet_jax.commands.command_line import main
from senet_jax.commands.request import Request
from senet_jax.config import DataConfig, Experiment, ModelConfig
from senet_jax.files import read_table
from senet_jax.schema import to_dict
from senet_jax.training import bad_steps, metrics
from senet_jax.training import plan as plans
from senet_jax.training.checkpoints import Checkpoints
from senet_jax.training.plan import open_plan
from senet_jax.training.state import TrainState

TINY = tiny_network(stage_sizes=(1, 1, 2), widths=(8, 16, 32))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    data = DataConfig(image_size=8, data_dir=str(tmp_path_factory.mktemp("data")))
    return Experiment(ModelConfig("se_resnet20_cifar"), data, eval_batch_size=200)


@pytest.fixture(scope="module")
def plan(config):
    return dataclasses.replace(open_plan(config), model=TINY)


@pytest.fixture
def workdir(config, plan, tmp_path, monkeypatch):
    """Workdir of a run of a smaller network, with random parameters."""
    monkeypatch.setattr(plans, "open_plan", lambda config: dataclasses.replace(plan, config=config))
    variables = random_variables(TINY, jnp.zeros((1, 8, 8, 1)))
    params = variables["params"]
    optimizer_state, bad = plan.optimizer.init(params), bad_steps.none(params)
    state = TrainState(jnp.int32(7), variables, optimizer_state, None, metrics.zeros(), bad)
    (tmp_path / "config.json").write_text(json.dumps(to_dict(config)))
    with closing(Checkpoints(tmp_path)) as checkpoints:
        checkpoints.save(7, state, config)
    return tmp_path


def test_the_network_of_another_configuration_is_refused(workdir, capsys):
    with pytest.raises(SystemExit):
        main(["analyze", f"--workdir={workdir}", "--config.model.gate=tanh"])
    said = f"config.model.gate is 'tanh', and the run in {workdir} has 'sigmoid'; give no other"
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_pictures_tables_and_arrays_of_a_checkpoint(workdir, tmp_path, capsys):
    output = tmp_path / "new" / "here"
    main(["analyze", f"--workdir={workdir}", "--classes=7,1", f"--output={output}"])
    blocks = ["stage2_block1", "stage3_block1", "stage4_block1", "stage4_block2"]
    assert [row["block"] for row in read_table(output / "blocks.csv")] == blocks
    assert [row["replaced"] for row in read_table(output / "replaced.csv")] == [
        "none",
        "stage2",
        "stage3",
        "stage4",
        "all blocks",
    ]
    origins = {(row["step"], row["split"], row["images"]) for row in read_table(output / "replaced.csv")}
    assert origins == {("7", "test", "359")}
    shown = read_table(output / "gates.csv")
    assert list(dict.fromkeys(row["block"] for row in shown)) == blocks
    assert {row["class"] for row in shown} == {"all classes", "7", "1"}
    with np.load(output / "excitations.npz") as arrays:
        images, means = arrays["images"], arrays["stage4_block2/mean"]
        assert arrays["classes"].tolist() == [str(digit) for digit in range(10)]
        assert arrays["stage2_block1/std"].shape == (10, 8)
    assert images.sum() == 359
    row = next(row for row in shown if (row["block"], row["class"], row["channel"]) == ("stage4_block2", "7", "31"))
    assert float(row["mean"]) == pytest.approx(means[7, 31], rel=1e-5)
    every = float(next(row for row in read_table(output / "blocks.csv") if row["block"] == "stage4_block2")["mean"])
    assert every == pytest.approx((images @ means).mean() / 359, rel=1e-5)
    for name in ("classes", "instances"):
        with Image.open(output / f"{name}.png") as picture:
            assert picture.size[0] > 1000
    printed = capsys.readouterr().out
    assert printed.startswith("se_resnet20_cifar on digits, step 7, 359 test images")
    assert re.search(r"\nstage4_block2 +32 ", printed)
    assert re.search(r"\nall blocks +\d+\.\d\d% +[+-]", printed)
    main(["analyze", f"--workdir={workdir}", f"--output={output}", "--config.data.mean=0.9"])
    assert {row["split"] for row in read_table(output / "blocks.csv")} == {"test of other data"}


@pytest.mark.parametrize(
    ("classes", "chosen"), [((), ["0", "3", "6", "9"]), (("9", "2"), ["9", "2"])], ids=["default", "given"]
)
def test_classes_of_digits(classes, chosen):
    assert list(analyze._choose([str(digit) for digit in range(10)], classes)) == chosen


def test_classes_of_imagenet():
    names = ["n01440764", "n01443537", "n02110958", "n02690373", "n09246464"]
    assert analyze._choose(names, ()) == {"goldfish": 1, "plane": 3, "pug": 2, "cliff": 4}
    assert analyze._choose(names, ("pug", "n01440764", "n01443537")) == {"pug": 2, "n01440764": 0, "n01443537": 1}


@pytest.mark.slow
def test_invalid_workdirs_and_classes_are_refused(config, plan, workdir, tmp_path, monkeypatch, capsys):
    def refused(message, workdir=workdir, **options):
        with pytest.raises(ValueError, match=message):
            analyze.prepare(Request("analyze", config, workdir=workdir, options=analyze.Options(**options)))

    refused("--classes has 'O'; the dataset's 10 classes are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9", classes=("0", "O"))
    refused("has no complete checkpoint; train first", workdir=tmp_path / "empty")
    refused("which is a file; give a directory", output=tmp_path / "config.json")
    plain = dataclasses.replace(plan, model=TINY.clone(attention=None))
    monkeypatch.setattr(plans, "open_plan", lambda config: plain)
    refused("ResNet has no gates to observe")
    with pytest.raises(SystemExit):
        main(["analyze"])
    assert "analyze needs --workdir=DIRECTORY, the directory of a training run" in capsys.readouterr().err
