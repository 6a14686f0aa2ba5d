import errno
import json
import shlex
from contextlib import nullcontext
from pathlib import Path

import pytest

from senet_jax import workdir as workdirs
from senet_jax.commands import train
from senet_jax.commands.command_line import parse
from senet_jax.commands.request import Request
from senet_jax.config import DataConfig, Experiment, ModelConfig
from senet_jax.data import open_dataset
from senet_jax.inherited import adopted, with_preprocessing
from senet_jax.runs.run import warn_of_data
from senet_jax.schema import to_dict
from senet_jax.weights import runs


@pytest.fixture
def config(tmp_path):
    return Experiment(
        model=ModelConfig("se_resnet20_cifar"), data=DataConfig(data_dir=str(tmp_path / "data")), eval_batch_size=400
    )


def write_run(workdir, config):
    workdir.mkdir()
    (workdir / "config.json").write_text(json.dumps(to_dict(config)))


def test_an_unknown_model_is_refused_before_the_dataset_is_prepared(config, tmp_path):
    config.model.name = "se_resnet21_cifar"
    with pytest.raises(ValueError, match=r"no network 'se_resnet21_cifar'; the nearest are .*se_resnet20_cifar"):
        train.prepare(Request("train", config, options=train.Options(), workdir=tmp_path / "run"))
    assert not (tmp_path / "data").exists()


def test_a_workdir_of_another_configuration_is_refused_with_the_difference(config, tmp_path):
    write_run(tmp_path / "run", config)
    config.optimizer.learning_rate = 0.5
    config.seed = 3
    message = "optimizer.learning_rate is 0.5, was 0.1; seed is 3, was 0. Give another workdir"
    with pytest.raises(ValueError, match=message):
        train.prepare(Request("train", config, options=train.Options(), workdir=tmp_path / "run"))


def test_fields_without_effect_on_the_result_can_change_when_a_run_goes_on(config, tmp_path):
    write_run(tmp_path / "run", config)
    config.eval_batch_size, config.data.workers = 200, 1
    assert callable(train.prepare(Request("train", config, options=train.Options(), workdir=tmp_path / "run")))


@pytest.mark.parametrize(
    ("size", "split", "warning"),
    [
        (8, "test", None),
        (4, "test", None),
        (
            3,
            "test",
            "warning: the images (8x8 pixels the first) are shrunk to 3x3; give --config.data",
        ),
        (
            8,
            "train[80%:]",
            "warning: 288 of the 288 test images are training images too; give splits",
        ),
        (8, "test+train[:10]", "warning: 10 of the 369 test images are training images too"),
    ],
)
def test_data_that_are_hardly_meant_give_a_warning(size, split, warning, config, capsys):
    config.data.image_size, config.data.test_split = size, split
    dataset = open_dataset(config.data)
    capsys.readouterr()
    warn_of_data(config.data, dataset)
    said = capsys.readouterr().err
    assert said == "" if warning is None else said.startswith(warning)


def test_a_finished_run_says_so_and_changes_nothing(config, tmp_path, capsys):
    write_run(tmp_path / "run", config)
    result = {"classes": 10, "accuracy": 0.5, "loss": 1.0, "steps": 3, "finished": "2026-01-01", "seconds": 21.5}
    (tmp_path / "run" / "result.json").write_text(json.dumps(result))
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    train.prepare(Request("train", config, options=train.Options(), workdir=tmp_path / "run"))()
    said = capsys.readouterr().out
    assert "this run has ended, and nothing was changed" in said
    command = shlex.split(said.partition("more epochs")[2])
    more = parse(command[2:]).config  # Without "python launch.py".
    assert (more.init.weights, more.init.head, more.seed) == (str(tmp_path / "run"), "keep", config.seed + 1)
    assert (more.model, more.duration) == (config.model, config.duration)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_a_longer_run_is_refused_with_the_way_to_it(config, tmp_path):
    write_run(tmp_path / "run", config)
    config.duration = "20 epochs"
    with pytest.raises(ValueError, match="it starts anew in another workdir"):
        train.prepare(Request("train", config, options=train.Options(), workdir=tmp_path / "run"))


def test_preprocessing_is_of_the_weights_or_of_the_user(config, tmp_path):
    config.init.weights, config.init.preprocessing = "a.safetensors", "weights"
    request = Request("train", config, frozenset({"data.mean"}), options=train.Options(), workdir=tmp_path / "run")
    with pytest.raises(ValueError, match=r"config\.data\.mean is given, but config.init.preprocessing='weights'"):
        train.prepare(request)


def test_a_run_that_goes_on_keeps_the_preprocessing_that_it_took(config, tmp_path):
    config.init.weights, config.init.preprocessing = "a.safetensors", "weights"
    assert adopted(config, tmp_path / "run") == config
    taken = with_preprocessing(config, {"image_size": 12, "mean": (0.25,)})
    write_run(tmp_path / "run", taken)
    assert adopted(config, tmp_path / "run") == taken
    assert config.data.image_size == 8
    config.init.weights = "b.safetensors"
    assert adopted(config, tmp_path / "run") == config


def test_a_workdir_that_cannot_be_written_is_refused(config):
    with pytest.raises(ValueError, match=r"--workdir=/proc/none/run cannot be written: .*; give another directory"):
        train.prepare(Request("train", config, options=train.Options(), workdir=Path("/proc/none/run")))


def test_a_workdir_where_directories_cannot_be_renamed_is_refused(config, tmp_path, monkeypatch):
    def fails(path, target):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(ValueError, match=r"--workdir=.* must be on a file system that can rename .*: Too many open"):
        train.prepare(Request("train", config, options=train.Options(), workdir=tmp_path / "run"))
    assert not list(tmp_path.iterdir())


def test_a_workdir_that_is_a_file_is_refused(config, tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(ValueError, match="is a file; give a directory"):
        train.prepare(Request("train", config, options=train.Options(), workdir=tmp_path / "run"))


def test_a_damaged_configuration_in_the_workdir_is_refused_by_its_name(config, tmp_path):
    write_run(tmp_path / "run", config)
    (tmp_path / "run" / "config.json").write_text('{"model": ')
    with pytest.raises(ValueError, match=r"run/config\.json: Expecting value"):
        train.prepare(Request("train", config, options=train.Options(), workdir=tmp_path / "run"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("result.json", b"", r"run/result.json is damaged: Expecting value: .*; remove the file, and the command"),
        ("result.json", b"[]", r"run/result.json is damaged: it has no accuracy; remove the file, and the command"),
        ("metrics.jsonl", b'{"step": 1}\n\0\0\0\n', r"line 2 of .*run/metrics.jsonl is damaged: Expecting value"),
    ],
)
def test_damaged_files_in_the_workdir_are_refused_by_their_names(name, content, message, config, tmp_path):
    write_run(tmp_path / "run", config)
    (tmp_path / "run" / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        train.prepare(Request("train", config, options=train.Options(), workdir=tmp_path / "run"))


def test_other_data_is_refused_by_a_run_that_goes_on(config, tmp_path):
    workdir = tmp_path / "run"
    write_run(workdir, config)
    digits = tuple(map(str, range(10)))
    for classes, images, message in (
        (digits, 2400, r"is of a run on 2,400 training images, and the dataset has 1,438: it cannot go on with other"),
        (
            ("0", "one", *digits[2:]),
            1438,
            "is of a run on 10 classes, and the dataset has 10; the first that",
        ),
        (digits[:9], 1438, "is of a run on 9 classes, and the dataset has 10: its logits mean other classes"),
    ):
        (workdir / "network.json").write_text(runs.describe(config, classes, 1, images))
        with pytest.raises(ValueError, match=message):
            train.prepare(Request("train", config, options=train.Options(), workdir=workdir))
    held = {"dataset": "digits/0.9.0", "sha256": "a1"}
    (workdir / "network.json").write_text(runs.describe(config, digits, 1, 1438, held))
    message = r"dataset is 'digits/1.0.0', was 'digits/0.9.0'; sha256 is None, was 'a1'; .*train is '1438 examples of"
    with pytest.raises(ValueError, match=message):
        train.prepare(Request("train", config, options=train.Options(), workdir=workdir))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dataset": "folder 1.0.0", "train": "6 + 6 examples of 9 bytes"}, None),
        (
            {"sha256": "b2", "train": "11 examples of 9 bytes"},
            "train is '11 examples .* bytes'; sha256 is 'b2', was 'a1'",
        ),
        ({"sha256": "b2", "other": "4 examples of 3 bytes"}, None),
        (
            {"sha256": "b2", "train": "11 examples of 9 bytes", "other": "4 examples"},
            "train is '11 examples [^;]*; give",
        ),
    ],
    ids=["packed otherwise", "other images", "another split", "another split of other images"],
)
def test_class_folders_are_the_same_by_their_contents(changed, message, config, tmp_path):
    held = {
        "dataset": "folder 1.1.0",
        "test": "4 examples of 3 bytes",
        "train": "12 examples of 9 bytes",
        "sha256": "a1",
    }
    (tmp_path / "network.json").write_text(runs.describe(config, ("cat", "dog"), 3, 12, held))
    with nullcontext() if message is None else pytest.raises(ValueError, match=message):
        runs.check_data(tmp_path, ("cat", "dog"), 12, held | changed)


def test_a_second_process_in_a_workdir_is_refused(tmp_path):
    with workdirs.locked(tmp_path):
        again = workdirs.locked(tmp_path)
        with pytest.raises(workdirs.BusyError, match="another process is training in"):
            again.__enter__()
    with workdirs.locked(tmp_path):
        pass
