"""The algebra of axes, and every sweep that is refused."""

import itertools
from pathlib import Path

import pytest

from senet_jax.config import Experiment
from senet_jax.sweep import Sweep, axis, chain, product, resolve, seeds, shard, variant, weights_of, zipped

NO_SE = variant("no SE", {"model.attention": "none"})


def names(sweep: Sweep) -> list[str]:
    return [each.name for each in sweep.variants]


def test_a_product_of_a_chain_and_seeds():
    sweep = product(chain(NO_SE, axis("model.ratio", [2, 16.0])), seeds(2)).against("no SE")
    assert names(sweep) == [
        "no SE/seed=0", "no SE/seed=1", "ratio=2/seed=0", "ratio=2/seed=1", "ratio=16/seed=0", "ratio=16/seed=1"
    ]  # fmt: skip
    assert sweep.variants[3].changes == {"model.ratio": 2, "seed": 1}
    assert [each.group for each in sweep.variants[::2]] == ["no SE", "ratio=2", "ratio=16"]
    assert [sweep.baseline_of(group) for group in ("no SE", "ratio=2")] == ["no SE", "no SE"]
    configs = resolve(Experiment(batch_size=64), sweep)
    assert list(configs) == names(sweep)
    assert [(c.model.attention, c.model.ratio, c.seed, c.batch_size) for c in configs.values()][1:4] == [
        ("none", None, 1, 64), ("own", 2, 0, 64), ("own", 2, 1, 64)
    ]  # fmt: skip


def test_a_variant_starts_from_the_run_before_it_that_differs_by_a_label():
    more = chain(variant("plain", {}), variant("more", {"init.weights": weights_of("plain")}))
    sweep = product(seeds(2), axis("batch_size", [8, 16]), more)
    sources = sweep.sources()
    assert sources == {name: name.replace("more", "plain") for name in names(sweep)[1::2]}
    configs = resolve(Experiment(), sweep, Path("/runs/sweep"))
    assert configs["seed=1/batch_size=8/more"].init.weights == "/runs/sweep/seed=1/batch_size=8/plain"
    assert configs["seed=1/batch_size=8/plain"].init.weights is None
    for wrong in (weights_of("plian"), weights_of("more")):
        with pytest.raises(ValueError, match=r"'more' starts from '.*', and no variant before it has this label"):
            chain(variant("plain", {}), variant("more", {"init.weights": wrong})).sources()
    with pytest.raises(ValueError, match="did you mean 'plain'"):
        product(seeds(2), chain(variant("plain", {}), variant("more", {"init.weights": weights_of("plian")}))).sources()


def test_a_label_of_an_axis_is_a_baseline_for_each_of_the_others():
    sweep = product(seeds(2), axis("batch_size", [8, 16]), chain(NO_SE, variant("SE", {})))
    groups = ["batch_size=8/no SE", "batch_size=8/SE", "batch_size=16/no SE", "batch_size=16/SE"]
    assert list(map(sweep.against("no SE").baseline_of, groups)) == [groups[0], groups[0], groups[2], groups[2]]
    assert list(map(sweep.against(groups[1]).baseline_of, groups)) == [groups[1]] * 4
    assert sweep.baseline_of(groups[0]) is None
    pair = chain(variant("ratio", {"model.ratio": 2}), product(NO_SE, variant("wide", {"batch_size": 64})))
    assert pair.against("no SE").baseline_of("ratio") is None


def test_zipped_axes_are_one_axis():
    sweep = zipped(axis("batch_size", [64, 128]), axis("optimizer.learning_rate", [0.05, 1e-4]))
    assert names(sweep) == ["batch_size=64, learning_rate=0.05", "batch_size=128, learning_rate=0.0001"]
    assert sweep.variants[1].changes == {"batch_size": 128, "optimizer.learning_rate": 1e-4}
    assert zipped(seeds(2), axis("batch_size", [8, 16])).variants[0].group == "seed=0, batch_size=8"


def test_values_can_be_named_and_are_written_as_on_the_command_line():
    assert names(axis("model.attention_stages", {"all": None, "stage 2": (2,)})) == ["all", "stage 2"]
    assert names(axis("model.attention_stages", [None, (2, 3)])) == ["attention_stages=none", "attention_stages=2,3"]
    assert names(axis("data.flip", [True])) == ["flip=true"]
    named = product(NO_SE, axis("seed", {"first": 5, "second": 6}))
    assert [(each.name, each.group) for each in named.variants] == [("no SE/first", "no SE"), ("no SE/second", "no SE")]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: axis("model.ratoi", [2]), "there is no field 'model.ratoi'; did you mean 'model.ratio'"),
        (lambda: axis("ratio", [2]), "there is no field 'ratio'; did you mean 'model.ratio'?"),
        (lambda: axis("model", [2]), "there is no field 'model'"),
        (lambda: axis("model.ratio", []), "the axis 'model.ratio' has no values"),
        (chain, "the sweep has no variants; chain, product and zipped need one sweep at least"),
        (product, "the sweep has no variants"),
        (lambda: axis("model.ratio", [2, 2.0]), "has a value twice: ratio=2, ratio=2"),
        (lambda: axis("model.name", ["timm/seresnet50"]), "'name=timm/seresnet50', which cannot name a directory"),
        (lambda: variant("..", {}), "the name is '..'"),
        (lambda: chain(NO_SE, NO_SE), "2 variants are called 'no SE'"),
        (lambda: chain(variant("a", {"seed": 1}), variant("b", {"seed": 1})), "'a' and 'b' are the same experiment"),
        (lambda: product(seeds(2), variant("a", {"seed": 1})), "seed is set twice, in 'seed=0' and in 'a'"),
        (lambda: zipped(seeds(3), axis("batch_size", [8])), "these have 3 (seed=0, seed=1, seed=2) and 1 (batch_size"),
        (lambda: product(NO_SE, seeds(2)).against("noSE"), "must be one of no SE; did you mean 'no SE'?"),
        (lambda: product(NO_SE.against("no SE"), seeds(2)), "against() comes last"),
    ],
)
def test_an_impossible_sweep_is_refused(make, message):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        make()
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        (
            axis("model.ratio", ["8"]),
            "variant 'ratio=8': config.model.ratio is '8'; it must be a positive number",
        ),
        (axis("model.gate", ["sigmod"]), "variant 'gate=sigmod': config.model.gate is 'sigmod'; it must be one of"),
        (chain(variant("own", {}), axis("seed", [0])), "'own' and 'seed=0' are the same experiment"),
    ],
)
def test_an_impossible_variant_is_refused(sweep, message):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        resolve(Experiment(), sweep)
    assert message in str(raised.value)


def test_shards_share_out_every_name_once():
    everything = names(product(axis("model.ratio", [2, 4, 8]), seeds(3)))
    parts = [shard(everything, f"{number}/4") for number in range(1, 5)]
    assert list(itertools.chain(*parts)) == everything
    assert sorted(map(len, parts)) == [2, 2, 2, 3]
    for part in ("0/4", "5/4", "3", "a/b", "-1/4", "1/0"):
        with pytest.raises(ValueError, match=f"the shard is '{part}'; it must be a part and their number"):
            shard(everything, part)
