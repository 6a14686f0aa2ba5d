"""Checkpoints that are damaged, of another configuration, or read while a run goes on."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from training.damaged import CONFIG, restore, state

from benchmarks.faults.checkpoints import DAMAGES, flip
from senet_jax.checkpoints import verify, write_manifest
from senet_jax.config import Experiment, OptimizerConfig
from senet_jax.training.checkpoints import Checkpoints, SaveError
from senet_jax.weights import manifests, runs
from senet_jax.weights.manifests import DamagedError

ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join(map(str, (Path(__file__).parents[2], Path(__file__).parents[1])))
}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    with closing(Checkpoints(workdir, keep=3)) as checkpoints:
        for step in (5, 10, 20, 30):
            checkpoints.save(step, state(step), CONFIG)
    assert {path.name for path in (workdir / "checkpoints").iterdir()} == {"10", "20", "30"}
    return workdir


@pytest.fixture
def workdir(original, tmp_path):
    return shutil.copytree(original, tmp_path / "copy")


def test_the_newest_is_restored_and_all_are_verified(workdir):
    assert restore(workdir) == (30, [])
    for step in (10, 20, 30):
        tree = verify(workdir / f"checkpoints/{step}")
        np.testing.assert_array_equal(tree["variables"]["params"]["kernel"], state(step).variables["params"]["kernel"])


@pytest.mark.slow
def test_damage_is_found_or_harmless(original, tmp_path):
    script = Path(__file__).with_name("damaged.py")
    command = [sys.executable, str(script), str(original), str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert run.returncode == 0, run.stderr
    damaged = json.loads(run.stdout)
    assert damaged.keys() == DAMAGES.keys()
    for tries in damaged.values():
        assert len(tries) > 8
        for result in tries:
            assert result["again"] == result["step"]
            if result["step"] == 30:
                assert result["said"] == result["aside"] == []
            else:
                assert result["step"] == 20
                place = f"{result['copy']}/checkpoints/30"
                assert result["said"][0].startswith(f"the checkpoint of step 30 in {place} is damaged: ")
                assert result["aside"] == ["0_step30"]
        assert [result["step"] for result in tries].count(20) >= 3


def test_files_of_an_older_step_are_found(workdir):
    for item in ("state", "manifest"):
        shutil.rmtree(workdir / f"checkpoints/30/{item}")
        shutil.copytree(workdir / f"checkpoints/20/{item}", workdir / f"checkpoints/30/{item}")
    step, said = restore(workdir)
    assert step == 20
    assert said[0].partition(": ")[2].startswith("it is that of step 20; it was moved to")
    with pytest.raises(DamagedError, match="it is that of step 20"):
        verify(shutil.copytree(workdir / "checkpoints/20", workdir / "checkpoints/40"))


def test_a_run_does_not_start_anew_if_all_checkpoints_are_damaged(workdir):
    for path in (workdir / "checkpoints").glob("*/manifest/metadata"):
        path.write_text("{}")
    for _ in range(2):  # The same command again.
        with pytest.raises(
            ValueError, match=r"has no undamaged checkpoint \(that of step 30: .*; that of step 10: .*\); train anew"
        ):
            restore(workdir)
    assert not (workdir / "damaged_checkpoints").exists()
    with pytest.raises(DamagedError, match="KeyError: 'content'"):
        verify(workdir / "checkpoints/30")


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ValueError("UNAVAILABLE: Error reading local file: Connection reset"), True),
        (ValueError("ABORTED: Generation changed"), True),
        (ValueError("DEADLINE_EXCEEDED: No answer"), True),
        (ValueError("/runs/ABORTED/checkpoints/4/manifest differs from the saved file"), False),
    ],
)
def test_codes_of_errors_that_may_pass(error, passes):
    assert manifests.may_pass(error) == passes


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), ValueError("RESOURCE_EXHAUSTED: memory")])
def test_an_error_of_the_machine_is_no_damage(error, workdir, monkeypatch):
    def fail(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(ocp.CheckpointManager, "restore", fail)
        with pytest.raises(ValueError, match=r"the checkpoint of step 30 in .* could not be read: .*; the same"):
            restore(workdir)
    assert restore(workdir) == (30, [])


def test_another_configuration_is_refused_and_nothing_is_moved(workdir):
    other = Experiment(CONFIG.model, optimizer=OptimizerConfig(momentum=0.5))
    with pytest.raises(ValueError, match=r"the checkpoint of step 30 in .* optimizer.momentum is 0.5, was 0.9"):
        restore(workdir, other)
    with pytest.raises(ValueError, match=r"1 arrays differ: variables/params/kernel is float32 \(24, 4\), and here"):
        restore(workdir, like=state(0, width=2))
    assert restore(workdir) == (30, [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "message", "left"),
    [
        (
            "limit",
            r"checkpoints has [\d,]+ bytes free \(.*File too large.*\); the newest whole one is of step 10",
            [10],
        ),
        ("gone", r"checkpoints does not exist any more \(.* was removed\); the newest whole one is of step 10", []),
    ],
)
def test_a_checkpoint_that_cannot_be_written_is_named_and_older_ones_stay(fault, message, left, tmp_path):
    command = [sys.executable, str(Path(__file__).with_name("unsaved.py")), str(tmp_path / "run"), fault]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert run.returncode == 0, run.stderr
    assert re.fullmatch(rf"a checkpoint could not be saved: .*{message}\n", run.stdout)
    assert "/orbax/" not in run.stderr, "Orbax's tracebacks stand beside the error"
    for step in left:
        verify(tmp_path / f"run/checkpoints/{step}")


@pytest.mark.slow
@pytest.mark.parametrize("hangs", ["save", "wait_until_finished"])
def test_a_process_whose_checkpoint_is_not_saved_ends(hangs, tmp_path):
    command = [sys.executable, str(Path(__file__).with_name("unsaved.py")), str(tmp_path / "run"), hangs]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert run.returncode == 1
    assert "error: no progress for 1 seconds; the stacks of all threads:" in run.stderr
    verify(tmp_path / "run/checkpoints/10")


def test_reads_that_end_after_a_failed_restore_print_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: print(unraisable.exc_value, file=sys.stderr))
    runs._drop_closed_loops.cache_clear()
    with runs.quiet():
        for error in ("Event loop is closed", "another"):
            sys.unraisablehook(SimpleNamespace(exc_value=RuntimeError(error)))
    assert capsys.readouterr().err == "another\n"
    runs._drop_closed_loops.cache_clear()


def test_the_cause_of_an_error_is_named_whatever_tensorstore_adds():
    spec = """{"driver":"zarr3","metadata":{"shape":[256,1024]},"kvstore":{"driver":"ocdbt"}}""" + " " * 300
    error = ValueError(f"Writing: File too large [tensorstore_spec='{spec}'] [os_error_code='27']\nmore")
    assert manifests.first_line(error, end=True) == "ValueError: Writing: File too large"
    error = Exception("Error while reading array index: (1,). See full TensorStore details: <bound method spec of ...>")
    assert manifests.first_line(error) == "Exception: Error while reading array index: (1,)."


def test_a_disk_without_room_is_found_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with closing(Checkpoints(tmp_path, keep=2)) as checkpoints:
        message = r"checkpoints has 1,000 bytes free, and 3 checkpoints of 398 bytes are to be written there; give an"
        with pytest.raises(SaveError, match=message):
            checkpoints.check_space(state(0), saves=3)
        checkpoints.check_space(state(0), saves=2)
        checkpoints.check_space(jnp.zeros(80, jnp.float32), saves=3)


def test_a_reader_changes_nothing(workdir):
    unfinished = workdir / "checkpoints/40.orbax-checkpoint-tmp"
    unfinished.mkdir()
    flip(workdir / "checkpoints/30/manifest/metadata", np.random.default_rng(0))
    before = sorted(workdir.rglob("*"))
    with pytest.raises(ValueError, match=r"step 30 in .* is damaged: .*; there are also those of step 10, 20"):
        runs.read_variables(workdir, "newest")
    assert runs.read_variables(workdir, 20)[1] == 20
    assert sorted(workdir.rglob("*")) == before
    with pytest.raises(ValueError, match="has no complete checkpoint"):
        runs.read_variables(workdir / "nothing", "newest")
    assert not (workdir / "nothing").exists()


def test_checkpoints_of_other_programs_can_be_verified(tmp_path):
    tree = {"w": np.arange(6.0), "layers": [np.ones((2, 3), np.float32)]}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "single", tree)
    with ocp.CheckpointManager(tmp_path / "steps", item_names=("a", "b")) as manager:
        saved = ocp.args.Composite(a=ocp.args.StandardSave(tree), b=ocp.args.StandardSave({"v": np.zeros(2)}))
        manager.save(7, args=saved)
    single, step = tmp_path / "single", tmp_path / "steps/7"
    with pytest.raises(ValueError, match=r"single has no manifest; senet_jax.checkpoints.write_manifest writes one"):
        verify(single)
    with pytest.raises(ValueError, match=r"nothing is not the directory of a checkpoint, such as WORKDIR/checkpoints"):
        verify(tmp_path / "nothing")
    for directory in (single, step):
        write_manifest(directory)
    np.testing.assert_array_equal(verify(single)["w"], tree["w"])
    assert verify(step).keys() == {"a", "b"}
    with ocp.CheckpointManager(tmp_path / "steps", item_names=("a", "b")) as manager:
        restored = manager.restore(7, args=ocp.args.Composite(b=ocp.args.StandardRestore()))
    np.testing.assert_array_equal(restored["b"]["v"], np.zeros(2))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(single, tree | {"w": np.arange(6.0) + 1}, force=True)
    shutil.copy(step / "senet_jax_manifest.json", single)
    with pytest.raises(DamagedError, match=r"a/layers/0, a/w, b/v and 2 more"):
        verify(single)
    with pytest.raises(ValueError, match="is no checkpoint of Orbax"):
        write_manifest(tmp_path / "nothing")


def test_older_manifests_have_sha256():
    state = {"mean": np.arange(6.0), "step": np.int32(3)}
    saved = manifests.digests(state, hashlib.sha256)
    manifests.compare(saved, state)
    with pytest.raises(DamagedError, match="step differ"):
        manifests.compare(saved, state | {"step": np.int32(4)})
