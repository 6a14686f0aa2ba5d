"""Checkpoints that are damaged, of another configuration, or read while a run goes on."""

import shutil
from contextlib import closing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from senet_jax.config import Experiment, ModelConfig, OptimizerConfig
from senet_jax.training.checkpoints import Checkpoints, verify
from senet_jax.training.state import TrainState
from senet_jax.weights.manifests import DamagedError

# A read that fails leaves others under way, whose callbacks find the event loop closed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
CONFIG = Experiment(ModelConfig("se_resnet18"))


def state(step, width=4):
    arrays = {"params": {"kernel": jnp.arange(96.0).reshape(24, 4)[:, :width] + step}, "batch_stats": {}}
    return TrainState(jnp.int32(step), arrays, (jnp.zeros(3, jnp.bfloat16),), None, {"loss": jnp.float32(step)})


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    with closing(Checkpoints(workdir, keep=3)) as checkpoints:
        for step in (10, 20, 30):
            checkpoints.save(step, state(step), CONFIG)
    return workdir


@pytest.fixture
def workdir(original, tmp_path):
    return shutil.copytree(original, tmp_path / "copy")


def restore(workdir, config=CONFIG, like=None, **settings):
    said = []
    with closing(Checkpoints(workdir, **settings)) as checkpoints:
        given, step = checkpoints.restore(state(0) if like is None else like, config, said.append)
    assert given.step == step
    jax.tree.map(np.testing.assert_array_equal, given, state(step))
    return step, said


def test_the_newest_is_restored_and_all_prove_themselves(workdir):
    assert restore(workdir) == (30, [])
    for step in (10, 20, 30):
        tree = verify(workdir / f"checkpoints/{step}")
        np.testing.assert_array_equal(tree["variables"]["params"]["kernel"], state(step).variables["params"]["kernel"])


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    path.write_bytes(bytes(content))


DAMAGES = {
    "flipped bit": lambda path, random: flip(path, int(random.integers(8 * path.stat().st_size))),
    "truncated": lambda path, random: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path, random: path.write_bytes(b""),
    "deleted": lambda path, random: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_or_harmless(damage, workdir, tmp_path):
    random = np.random.default_rng(0)
    found = (workdir / "checkpoints/30").rglob("*")
    files = sorted(path.relative_to(workdir) for path in found if path.is_file() and path.stat().st_size)
    assert len(files) > 8
    steps = []
    for number, file in enumerate(files):
        copy = shutil.copytree(workdir, tmp_path / str(number))
        DAMAGES[damage](copy / file, random)
        step, said = restore(copy)
        steps.append(step)
        if step == 30:
            assert said == []
        else:
            assert step == 20
            assert said[0].startswith(f"the checkpoint of step 30 in {copy / 'checkpoints/30'} is damaged: ")
            assert [path.name for path in (copy / "damaged_checkpoints").iterdir()] == ["0_step30"]
            assert restore(copy) == (20, [])
    assert steps.count(20) >= 3


def test_files_of_an_older_step_are_found(workdir):
    for item in ("state", "manifest"):
        shutil.rmtree(workdir / f"checkpoints/30/{item}")
        shutil.copytree(workdir / f"checkpoints/20/{item}", workdir / f"checkpoints/30/{item}")
    step, said = restore(workdir)
    assert step == 20
    assert said[0].partition(": ")[2].startswith("it is that of step 20; it was moved to")


def test_where_none_proves_itself_nothing_begins_anew(workdir):
    for path in (workdir / "checkpoints").glob("*/manifest/metadata"):
        path.write_text("{}")
    with pytest.raises(ValueError, match="has no checkpoint that proves itself; train anew in another workdir"):
        restore(workdir)
    with pytest.raises(DamagedError, match="KeyError: 'content'"):
        verify(workdir / "damaged_checkpoints/0_step30")


def test_another_configuration_is_refused_and_nothing_is_moved(workdir):
    other = Experiment(CONFIG.model, optimizer=OptimizerConfig(momentum=0.5))
    with pytest.raises(ValueError, match=r"the checkpoint of step 30 in .* optimizer.momentum is 0.5, was 0.9"):
        restore(workdir, other)
    with pytest.raises(ValueError, match=r"1 arrays differ: variables/params/kernel is float32 \(24, 4\), and here"):
        restore(workdir, like=state(0, width=2))
    assert restore(workdir) == (30, [])


def test_a_reader_changes_nothing(workdir):
    unfinished = workdir / "checkpoints/40.orbax-checkpoint-tmp"
    unfinished.mkdir()
    flip(workdir / "checkpoints/30/manifest/metadata", 999)
    before = sorted(workdir.rglob("*"))
    step, said = restore(workdir, read_only=True)
    assert (step, len(said)) == (20, 1)
    assert sorted(workdir.rglob("*")) == before
    with closing(Checkpoints(workdir / "nothing", read_only=True)) as checkpoints:
        assert checkpoints.latest is None
    assert not (workdir / "nothing").exists()
