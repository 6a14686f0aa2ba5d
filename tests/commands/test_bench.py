"""`launch.py bench`: contestants, their order, and results of measurements. Nothing is timed."""

import ast
import json
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from senet_jax.bench import jax_worker, stock_flax
from senet_jax.commands import bench
from senet_jax.commands.command_line import main
from senet_jax.files import read_table
from senet_jax.models import create_model

WORKER = """
import json, sys
settings = json.loads(sys.argv[1])
first, se = settings["first"], "/se" in settings["network"]
if first == 9:
    sys.exit("it has no time")
facts = {"platform": settings.get("platform", "cpu"), "compile_seconds": 1.5, "bytes_accessed": 2**30}
print(json.dumps(facts), flush=True)
if settings.get("dies"):
    sys.stdin.close()
    sys.exit("it ran out of memory")
for number, _ in enumerate(sys.stdin):
    open(settings["log"], "a").write(f"{number}{'s' if se else 'p'}{settings['letter']} ")
    seconds = first * (1.25 if se else 1) * (number + 1)
    measured = {"seconds": seconds, "cpu_seconds": 2 * seconds, "peak_memory": 2**30 * (3 if se else 2)}
    print(json.dumps(measured), flush=True)
"""


@pytest.fixture
def contestants(tmp_path, monkeypatch):
    """Takes the place of the variants: processes that measure nothing, and write down when they are asked."""
    worker = tmp_path / "fake.py"
    worker.write_text(WORKER)
    common = {"log": str(tmp_path / "log")}
    variants = {
        "ours": bench.Variant("ours", [str(worker)], common | {"letter": "o", "first": 1}),
        "timm": bench.Variant("timm", [str(worker)], common | {"letter": "t", "first": 4}),
        "timm_compiled": bench.Variant("timm, compiled", [str(worker)], common | {"letter": "c", "first": 2}),
    }
    monkeypatch.setattr(bench, "VARIANTS", variants)
    return variants


def run(tmp_path, *words):
    main(["bench", "--batch_size=8", f"--output={tmp_path / 'new' / 'results'}", *words])
    return (read_table(tmp_path / f"new/results/{name}.csv") for name in ("measurements", "ratios"))


def test_contestants_are_measured_in_turns(contestants, tmp_path, capsys):
    measurements, ratios = run(tmp_path, "--rounds=2", "--modes=training")
    assert (tmp_path / "log").read_text().split() == [f"{r}{n}{v}" for r in (0, 1) for v in "otc" for n in "sp"]
    ours = measurements[0]
    assert (ours["network"], ours["images_per_second"], ours["lowest"], ours["highest"]) == (
        "timm/seresnet50",
        "4.8",
        "3.2",
        "6.4",
    )
    assert (ours["peak_memory_gib"], ours["bytes_accessed_gib"], ours["compile_seconds"]) == ("3", "1", "1.5")
    assert {row["batch_size"] for row in measurements + ratios} == {"8"}
    assert all(
        row["commit"] and row["hardware"] and "jax" in json.loads(row["versions"]) for row in measurements + ratios
    )
    found = {(row["ratio"], row["quantity"]): float(row["median"]) for row in ratios}
    assert found["ours: SE over plain", "time"] == 1.25
    assert found["timm: SE over plain", "peak memory"] == 1.5
    assert found["ours, SE, over timm, compiled, SE", "speed"] == 2.0
    assert found["ours, SE, over timm, compiled, plain", "speed"] == 1.6
    assert not any("over timm, SE" in compared for compared, _ in found)
    assert (tmp_path / "new/results/speed.png").read_bytes().startswith(b"\x89PNG")
    assert "timm, compiled  timm/seresnet50" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"first": 9}, "timm, SE ended with status 1"),
        ({"platform": "gpu"}, "do not compute on the same platform"),
        ({"dies": True}, "timm, SE ended with status 1:\nit ran out of memory"),
    ],
)
def test_a_contestant_that_fails_ends_the_contest(contestants, tmp_path, settings, message):
    contestants["timm"].settings.update(settings)
    with pytest.raises(SystemExit, match=message):
        run(tmp_path, "--rounds=1")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--model=se_resnet50", "--model is 'se_resnet50'; it must be one of timm/seresnet50, timm/sere"),
        ("--modes=training,infer", "--modes is ('training', 'infer'); it must be training, inference or both"),
        (
            "--variants=our",
            "--variants is ('our',); it must be a tuple, each element one of ours, ours_unfused,",
        ),
        ("--modes=", "--modes is (); it must be training, inference or both"),
        ("--dtype=fp16", "--dtype is 'fp16'; it must be one of float32, bfloat16"),
        ("--model=se_resnet20_cifar --variants=ours,flax", "--variants=flax has no se_resnet20_cifar; leave it out"),
        ("--rounds=0", "--rounds is 0; it must be a whole number of 1 or more"),
        ("--variants=timm", "the timm variants need --peer_python=FILE"),
        (f"--peer_python={sys.executable}", "it must be a Python that has timm and PyTorch"),
        (f"--output={__file__}", "which is a file; give a directory"),
    ],
)
def test_a_bad_flag_is_refused(words, message, capsys):
    with pytest.raises(SystemExit):
        main(["bench", *words.split()])
    assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", stock_flax.NETWORKS)
def test_stock_networks_have_the_trees_of_ours(name):
    ours, stock = (
        jax.eval_shape(partial(model.init, train=False), jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
        for model in both(name)
    )
    assert jax.tree.map(jnp.shape, ours) == jax.tree.map(jnp.shape, stock)


@pytest.mark.slow
def test_stock_networks_compute_the_same_as_ours(x64):
    ours, stock = both("timm/seresnext50_32x4d", stage_sizes=(1, 1, 0, 0), dtype=jnp.float64, num_classes=5)
    images = jax.random.normal(jax.random.key(1), (2, 32, 32, 3), jnp.float64)
    variables = jax.jit(partial(stock.init, train=False))(jax.random.key(0), images)
    variables = jax.tree.map(lambda x: x.astype(jnp.float64), variables)
    train = [jax.jit(partial(model.apply, train=True, mutable=["batch_stats"])) for model in (ours, stock)]
    logits = [apply(variables, images)[0] for apply in train]
    np.testing.assert_allclose(*logits, rtol=1e-5)


def both(name, **fields):
    return create_model(name, **fields), stock_flax.NETWORKS[name](**fields)


@pytest.mark.parametrize("name", ["worker", "timm_worker", "timm_cifar"])
def test_the_peer_needs_nothing_of_ours(name):
    tree = ast.parse(Path(stock_flax.__file__).with_name(f"{name}.py").read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    packages = {name.split(".")[0] for name in imported}
    assert packages - sys.stdlib_module_names <= {"timm", "timm_cifar", "torch", "worker"}


SETTINGS = {"network": "se_resnet20_cifar", "batch_size": 2, "image_size": 8, "dtype": "float32", "mode": "training"}


@pytest.fixture
def small(monkeypatch):
    """Networks have one block."""
    monkeypatch.setattr(jax_worker, "create_model", partial(create_model, stage_sizes=(1,), widths=(16,)))


@pytest.mark.slow
def test_a_contestant_trains(small):
    contestant = jax_worker.JaxContestant(SETTINGS | bench.VARIANTS["ours"].settings)
    before = jax.tree.map(np.array, contestant.state)
    contestant.run(2)
    assert contestant.state.step == before.step + 2
    weights = [state.variables["params"]["head"]["kernel"] for state in (before, contestant.state)]
    assert (weights[0] != weights[1]).all()
    assert min(contestant.facts["bytes_accessed"], contestant.facts["compiled_memory"]) > 0


@pytest.mark.slow
@pytest.mark.optimised
def test_variants_are_different_programs(small):
    programs, images = set(), jnp.zeros((2, 8, 8, 3))
    for name in ("ours", "ours_unfused", "ours_portable", "ours_xla"):
        model = jax_worker.make_model(SETTINGS | bench.VARIANTS[name].settings)
        shapes = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), images)
        variables = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes)

        def loss(params, model=model, variables=variables):
            logits, _ = model.apply(variables | {"params": params}, images, train=True, mutable=["batch_stats"])
            return logits.sum()

        programs.add(jax.jit(jax.grad(loss)).lower(variables["params"]).as_text())
    assert len(programs) == 4
