import json

import pytest

from senet_jax.commands import eval as evaluation
from senet_jax.commands import train
from senet_jax.commands.command_line import Request
from senet_jax.config import DataConfig, Experiment, ModelConfig, to_dict


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
        train.prepare(Request("train", config, workdir=tmp_path / "run"))
    assert not (tmp_path / "data").exists()


def test_a_workdir_of_another_configuration_is_refused_with_the_difference(config, tmp_path):
    write_run(tmp_path / "run", config)
    config.optimizer.learning_rate = 0.5
    config.seed = 3
    message = "optimizer.learning_rate is 0.5, was 0.1; seed is 3, was 0. Give another workdir"
    with pytest.raises(ValueError, match=message):
        train.prepare(Request("train", config, workdir=tmp_path / "run"))


def test_what_changes_no_result_may_change_when_a_run_goes_on(config, tmp_path):
    write_run(tmp_path / "run", config)
    config.eval_batch_size, config.data.workers = 200, 1
    assert callable(train.prepare(Request("train", config, workdir=tmp_path / "run")))


def test_a_workdir_that_is_a_file_is_refused(config, tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(ValueError, match="is a file; give a directory"):
        train.prepare(Request("train", config, workdir=tmp_path / "run"))


def test_eval_of_a_run_without_checkpoint_is_refused(config, tmp_path):
    write_run(tmp_path / "run", config)
    with pytest.raises(ValueError, match="has no complete checkpoint; train first"):
        evaluation.prepare(Request("eval", config, workdir=tmp_path / "run"))


def test_a_damaged_configuration_in_the_workdir_is_refused_by_its_name(config, tmp_path):
    write_run(tmp_path / "run", config)
    (tmp_path / "run" / "config.json").write_text('{"model": ')
    with pytest.raises(ValueError, match=r"run/config\.json: Expecting value"):
        train.prepare(Request("train", config, workdir=tmp_path / "run"))
