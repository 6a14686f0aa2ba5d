"""`launch.py prepare`, and a small ImageNet from the official files to a figure."""

import json

import imagenet_files
import pytest

from senet_jax.commands.command_line import main


def test_an_incomplete_imagenet_is_refused_without_partial(tmp_path, capsys):
    imagenet_files.write(tmp_path, 1, 2, shorter_side=24, classes=2)
    command = ["prepare", "--dataset=imagenet2012", f"--source={tmp_path}", f"--data_dir={tmp_path}"]
    with pytest.raises(SystemExit):
        main([*command, "--data_dir=/proc/none"])
    assert "--data_dir=/proc/none cannot be written: " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(command)
    assert "lacks the classes n01484850" in capsys.readouterr().err
    main([*command, "--partial", "--jobs=1"])
    said = capsys.readouterr().out
    assert "train       2 images" in said
    assert "validation  2 images" in said
    with pytest.raises(SystemExit):
        main([*command, "--partial"])
    assert "is there already; remove it to prepare it anew" in capsys.readouterr().err


TINY = """
--config.model.name=se_resnet20_cifar --config.model.statistics_group=none --config.data.image_size=32
--config.data.workers=0 --config.batch_size=16 --config.eval_batch_size=16 --config.optimizer.schedule=constant
--config.optimizer.decay_at= --config.optimizer.learning_rate=0.01
"""
THREE_STEPS = [f"--config.{name}=3 steps" for name in ("duration", "log_every", "eval_every", "checkpoint_every")]


@pytest.mark.slow
def test_a_small_imagenet_is_prepared_trained_on_and_evaluated(short_networks, tmp_path, capsys):
    imagenet_files.write(tmp_path, 1, 24, shorter_side=40, classes=24)
    places = f"--source={tmp_path} --data_dir={tmp_path}"
    main(f"prepare --dataset=imagenet2012 {places} --partial --shorter_side=36 --check --jobs=1".split())
    run = f"--config=experiments/imagenet/se_resnet50.py --workdir={tmp_path}/run --config.data.data_dir={tmp_path}"
    main(["train", *run.split(), *TINY.split(), *THREE_STEPS])
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["classes"] == 1000
    assert result["steps"] == 3
    capsys.readouterr()
    main(["eval", f"--workdir={tmp_path}/run"])
    assert "imagenet2012, split validation, 24" in capsys.readouterr().out
