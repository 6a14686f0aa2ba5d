import dataclasses
import re
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from PIL import Image

from senet_jax import create_model
from senet_jax import workdir as workdirs
from senet_jax.commands.command_line import main, parse
from senet_jax.config import DataConfig, Experiment, ModelConfig
from senet_jax.modules import BatchNorm
from senet_jax.planning import bounds, datasets, estimate, hlo, report, topologies
from senet_jax.planning.estimate import Estimate
from senet_jax.planning.hlo import Collective
from senet_jax.planning.programs import Program
from senet_jax.training import plan as training_plan
from senet_jax.training.plan import make_plan

HLO = """
  %all-reduce.1 = (s32[]{:T(128)}, bf16[3,3,16,32]{3,2,1,0:T(8,128)(2,1)S(1)}, /*index=2*/f32[16]{0}) all-reduce(%a, %b)
  %all-gather-start = (f32[8]{0}, f32[32]{0}) all-gather-start(f32[8]{0} %c), dimensions={0}
  %all-gather-done = f32[32]{0} all-gather-done(%all-gather-start)
  ROOT all-reduce.7 = f32[10]{0} all-reduce-start(%d)
  %all-reduce-start = ((f32[5]{0}, f32[2]{0}), (f32[5]{0}, f32[2]{0})) all-reduce-start(%d, %e), channel_id=1
  %permute = (f32[6]{0}, f32[6]{0}, u32[], u32[]) collective-permute-start(%d), source_target_pairs={{0,1}}
  %fusion = f32[99]{0} fusion(%all-reduce.1), calls=%all-reduce
"""
PROGRAM = Program(None, flops=1.97e12, bytes_accessed=819e9 / 50, argument_bytes=2, peak_bytes=5,
                  collectives=(Collective("all-reduce", 10**8),), compile_seconds=0.0)  # fmt: skip


def test_the_collectives_of_a_program_and_their_bytes():
    assert list(hlo.collectives(HLO)) == [
        Collective("all-reduce", 4 + 2 * 3 * 3 * 16 * 32 + 4 * 16),
        Collective("all-gather", 4 * 32),
        Collective("all-reduce", 40),
        Collective("all-reduce", 28),
        Collective("collective-permute", 24),
    ]


def test_the_bytes_of_a_program_are_those_that_xla_counts():
    def step(x, y):
        return jax.lax.fori_loop(0, 5, lambda _, z: jnp.tanh(z @ y), x), jnp.cos(x).sum(0)

    arguments = jax.ShapeDtypeStruct((256, 128), jnp.float32), jax.ShapeDtypeStruct((128, 128), jnp.float32)
    program = jax.jit(step).lower(*arguments).compile()
    counted = sum(hlo.bytes_accessed(program.as_text() or ""))
    analysis: Any = program.cost_analysis()
    assert counted == pytest.approx(analysis["bytes accessed"], rel=0.01)


@pytest.mark.parametrize(
    ("name", "size", "connection"),
    [
        ("v5e:1x1", 1, 0), ("v5e:2x2", 4, 2), ("v5e:4x16", 64, 3), ("v5e:16x16", 256, 4), ("v6e:16x16", 256, 4),
        ("v4:2x2x1", 4, 2), ("v4:2x4x4", 32, 3), ("v4:4x4x4", 64, 6), ("v5p:16x16x24", 6144, 6),
        ("h100:4", 4, "NVLink"), ("a100:4x8", 32, "NVLink and the network of the hosts"),
    ],
)  # fmt: skip
def test_a_topology_has_chips_and_a_connection(name, size, connection):
    topology = topologies.parse(name)
    assert topology.chip is not None
    said = connection if isinstance(connection, str) else f"{connection} links of a chip"
    assert (topology.size, topology.chip.connection(topology.shape)) == (size, said)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v5e", "'v5e'; it must be a chip and the number of chips along each axis, as in v5e:16x16"),
        ("v5:2x2", "the chips are v4, v5e, v5p, v6e, a100, h100, h200, b200, cpu and gpu; did you mean 'v5p' or 'v5e'"),
        ("v4:2x2", "v4 has 3 axes, up to v4:16x16x16"),
        ("v5e:32x16", "the largest of v5e is v5e:16x16"),
        ("cpu:2x4", "a CPU has one axis, as in cpu:8"),
        ("v5e:0x4", "it must be a chip"),
        ("gpu:2", "jax finds 0 GPUs here; absent ones have names, as in h100:2"),
        ("h100:9", "a host has up to 8 GPUs, as in h100:8, and several hosts are h100:HOSTSx8"),
        ("cpu:2 --largest_batch", "--largest_batch needs chips whose memory is known"),
    ],
)
def test_an_impossible_topology_is_refused_in_one_line(name, message, capsys):
    with pytest.raises(SystemExit):
        main(["plan", *f"--topology={name}".split()])
    assert message in capsys.readouterr().err


def test_the_run_of_a_workdir_is_planned(tmp_path):
    workdirs.write_config(tmp_path, Experiment(ModelConfig("se_resnet50"), batch_size=48))
    config = parse(["plan", "--topology=cpu:1", f"--workdir={tmp_path}"]).config
    assert (config.model.name, config.batch_size) == ("se_resnet50", 48)


@pytest.mark.parametrize(("name", "extra"), [("v5e:2x2", ".[plan]"), ("h100:8", ".[plan-gpu]")])
def test_an_absent_compiler_is_refused_with_the_extra_that_has_it(name, extra, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=re.escape(f"pip install '{extra}' in the checkout installs it")):
        topologies.check_compiler(topologies.parse(name))


def test_the_bound_is_of_the_slowest_resource():
    bound = bounds.bound(PROGRAM, topologies.parse("v5e:16x16"))
    assert bound is not None
    assert bound.arithmetic == pytest.approx(0.01)
    assert bound.memory == pytest.approx(0.02)
    assert bound.interconnect == pytest.approx(2 * 255 / 256 * 1e8 / 200e9)
    assert (bound.step, bound.by) == (bound.memory, "memory")
    alone = bounds.bound(PROGRAM, topologies.parse("v5e:1x1"))
    assert alone is not None
    assert alone.interconnect == 0
    assert bounds.bound(PROGRAM, topologies.parse("cpu:2")) is None


def test_a_gather_sends_half_of_a_sum():
    gathers = dataclasses.replace(PROGRAM, collectives=(Collective("all-gather", 10**8),))
    bound = bounds.bound(gathers, topologies.parse("v5e:16x16"))
    assert bound is not None
    assert bound.interconnect == pytest.approx(255 / 256 * 1e8 / 200e9)


def test_the_bound_of_gpus_has_two_networks_and_a_rate_of_each_type():
    bound = bounds.bound(PROGRAM, topologies.parse("h100:8"), "float32")
    assert bound is not None
    assert bound.arithmetic == pytest.approx(1.97e12 / 494.75e12)
    assert bound.interconnect == pytest.approx(2 * 7 / 8 * 1e8 / 450e9)
    hosts = bounds.bound(PROGRAM, topologies.parse("h100:64x8"), "bfloat16")
    assert hosts is not None
    assert hosts.arithmetic == pytest.approx(bound.arithmetic / 2)
    assert hosts.interconnect == pytest.approx(2 * 63 / 64 * 1e8 / 8 / 50e9)


@pytest.fixture
def experiment():
    return Experiment(
        model=ModelConfig("se_resnet20_cifar", statistics_group=16),
        data=DataConfig("imagenet2012", test_split="validation", image_size=8),
        batch_size=32,
        duration="2 epochs",
    )


def test_an_absent_dataset_has_its_numbers(experiment):
    dataset = datasets.described(experiment.data)
    assert (dataset.num_classes, dataset.channels, len(dataset.train), len(dataset.test)) == (1000, 3, 1281167, 50000)
    assert datasets.decoding_seconds(dataset, experiment.data) is None  # So small, they are kept in memory.
    experiment.data.random_resized_crop = True
    seconds, said = datasets.decoding_seconds(dataset, experiment.data, number=2) or (0, "")
    assert 0 < seconds < 1
    assert said == "2 synthetic photographs of ImageNet's sizes"
    assert len(datasets.described(experiment.data, train_images=7).train) == 7


def test_class_folders_that_are_not_packed_are_counted(tmp_path):
    for name in ("train/cat/1.png", "train/cat/2.png", "train/cat/3.png", "test/cat/1.png"):
        file = tmp_path / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2)).save(file)
    config = DataConfig("folder", path=f"{tmp_path}/images", data_dir=f"{tmp_path}/data")
    assert len(datasets.described(config).train) == 3
    assert len(datasets.described(replace(config, train_split="train[:67%]")).train) == 2


@pytest.mark.parametrize(("most", "expected"), [(100, 96), (1e9, 30720), (15, None), (16, 16), (256, 256)])
def test_the_largest_batch_is_found_whatever_the_first_was(most, expected, experiment, monkeypatch):
    topology = topologies.parse("v5e:1x1")
    dataset = datasets.described(experiment.data)
    tried, told = [], []

    def compile_by_formula(config, dataset, topology, parallelism="jit"):
        tried.append(config.batch_size)
        needed = int(2**34 * (0.1 + 0.9 * config.batch_size / most))
        program = PROGRAM if config.batch_size <= most else None
        plan = make_plan(config, dataset)
        return Estimate(plan, topology, 1, {"parameters": int(0.1 * 2**34)}, program, needed, None)

    monkeypatch.setattr(estimate, "estimate", compile_by_formula)
    found = estimate.largest(
        compile_by_formula(experiment, dataset, topology), lambda found: told.append(found.batch_size)
    )
    assert (found and found.batch_size) == expected
    assert len(tried) == len(set(tried)) <= 4
    assert told == tried[1:]


def test_batches_that_the_configuration_does_not_allow_are_not_tried(experiment):
    topology, dataset = topologies.parse("v5e:2x2"), datasets.described(experiment.data)
    experiment.model.statistics_group, experiment.batch_size = None, 36
    experiment.optimizer.warmup, experiment.duration = "1000 steps", "1 epochs"
    assert estimate._possible(experiment, dataset, topology)
    experiment.accumulate = 2
    assert not estimate._possible(experiment, dataset, topology)  # Four devices do not divide 18 images.
    experiment.accumulate, experiment.batch_size = 1, 2048
    assert not estimate._possible(experiment, dataset, topology)  # An epoch has fewer than 1,000 steps.


@pytest.fixture
def small_network(monkeypatch):
    small = {"stage_sizes": (1, 1, 1), "widths": (8, 8, 8), "stem_width": 8, "norm": partial(BatchNorm, group=8)}
    monkeypatch.setattr(
        training_plan, "build_model", lambda config, num_classes: create_model(config.name, 10, **small)
    )


@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
@pytest.mark.parametrize("parallelism", ["jit", "pmap"])
def test_a_step_on_fake_devices_is_planned_and_measured(parallelism, capsys, tmp_path):
    assert jax.device_count() == 4
    flags = ["--config.model.statistics_group=8", "--config.batch_size=16", f"--config.data.data_dir={tmp_path}"]
    main(["plan", "--topology=cpu:2", f"--parallelism={parallelism}", *flags])
    output = capsys.readouterr().out
    assert "16 images, 8 on each chip; statistics groups of 8 lie within a chip" in output
    assert re.search(r"\b2 all-reduce", output)
    assert "activations and temporaries" in output
    assert not re.search(r"activations and temporaries +0\.00 MiB", output)
    assert "s a step" in output
    with pytest.raises(SystemExit):
        main(["plan", "--topology=cpu:3", *flags])
    assert "which 3 devices do not divide" in capsys.readouterr().err


@pytest.mark.slow
def test_a_step_is_planned_for_an_absent_pod(capsys, tmp_path):
    pytest.importorskip("libtpu")
    small = ["--config.model.statistics_group=8", "--config.batch_size=256", f"--config.data.data_dir={tmp_path}"]
    main(["plan", "--topology=v5e:4x8", *small])
    output = capsys.readouterr().out
    assert "v5e:4x8: 32 chips, 8 hosts" in output
    assert "it fits" in output
    assert "bounds from published peaks" in output


@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
@pytest.mark.parametrize("name", ["a100:2x2", "h100:4", "h200:4", "b200:4"])
def test_a_step_is_planned_for_absent_gpus(name, capsys, tmp_path):
    pytest.importorskip("jax_plugins.xla_cuda12")
    small = ["--config.model.statistics_group=8", "--config.batch_size=64", f"--config.data.data_dir={tmp_path}"]
    main(["plan", f"--topology={name}", *small])
    output = capsys.readouterr().out
    assert f"{name}: 4 GPUs, {2 if 'x' in name else 1} host" in output
    assert "it fits" in output
    assert re.search(r"a step of a chip +0\.0\d[1-9] GFLOP, \d\.\d\d MiB accessed, \d\d\d kernels", output)
    assert re.search(r"collectives of a step +[1-9] all-reduce", output)
    assert "bound on a step" in output
    assert "cuDNN" in output


def test_a_step_of_pmap_is_planned_for_one_host_alone(capsys):
    pytest.importorskip("jax_plugins.xla_cuda12")
    with pytest.raises(SystemExit):
        main(["plan", "--topology=h100:2x8", "--parallelism=pmap"])
    assert "has 2 hosts, and jax.pmap is compiled for the devices of one" in capsys.readouterr().err


def test_a_step_that_does_not_fit_is_reported(experiment):
    plan = make_plan(experiment, datasets.described(experiment.data))
    found = Estimate(plan, topologies.parse("v5e:1x1"), 1, {"parameters": 2**30}, None, 20 * 2**30, None)
    assert report.rows(found, None)["memory of a chip"] == "20.00 GiB of 16.00 GiB: it does NOT fit"
    assert "within a chip" in report.rows(replace(found, program=PROGRAM), None)["batch"]


def test_a_batch_in_parts_has_no_bound_on_speed(experiment):
    """The compiler counts the body of a loop once, however many parts the batch has."""
    experiment.accumulate = 2
    plan = make_plan(experiment, datasets.described(experiment.data))
    rows = report.rows(Estimate(plan, topologies.parse("v5e:1x1"), 1, {}, PROGRAM, 5, None), None)
    assert rows["bound on a step"] == "not known: of 2 parts, the compiler counts one"
    assert "images per second" not in rows
