"""The parameter tree of every network: a change breaks its checkpoints, so it must be meant.

`python -m pytest tests/models/test_golden.py --update-golden` writes the files anew.
"""

import functools
import zlib

import jax
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from models.trees import GOLDEN, count, tree

from senet_jax import create_model, list_models
from senet_jax.models.preact_resnet import PreActivationResNet
from senet_jax.models.resnet import ResNet
from senet_jax.modules.conv import Convolution

pytestmark = pytest.mark.usefixtures("unchecked_types")
"""All networks are traced here; those whose numbers other tests compute have their types checked there."""

OTHERS = GOLDEN / "others.csv"
"""The networks of other projects, which have our trees in other shapes: name, parameters, statistics, checksum."""


@functools.cache
def whole(name):
    """The tree of a network; of many like blocks in a stage, two are traced, and the second stands for the others."""
    model = create_model(name)
    if not isinstance(model, ResNet | PreActivationResNet):
        return tree(name)
    leaves = flatten_dict(tree(name, stage_sizes=tuple(min(size, 2) for size in model.stage_sizes)))
    for stage, size in zip(model.stages, model.stage_sizes, strict=True):
        second = {path: leaf for path, leaf in leaves.items() if path[1] == f"stage{stage}_block2"}
        for number in range(3, size + 1):
            leaves |= {(top, f"stage{stage}_block{number}", *rest): leaf for (top, _, *rest), leaf in second.items()}
    return unflatten_dict(leaves)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["se_resnet50", "se_preact_resnet20_cifar", "se_shake26_2x32d_cifar", "timm/seresnetaa50d"]
)
def test_the_second_block_stands_for_the_others(name):
    assert whole(name) == tree(name)


def lines(name):
    leaves, _ = jax.tree.flatten_with_path(whole(name))
    return "".join("/".join(key.key for key in path) + f" {leaf.dtype}{list(leaf.shape)}\n" for path, leaf in leaves)


def row(name):
    return [
        name,
        count(whole(name)["params"]),
        count(whole(name)["batch_stats"]),
        f"{zlib.crc32(lines(name).encode()):08x}",
    ]


def is_others(name):
    return "/" in name


QUICK = ("resnet50", "se_resnet50", "se_resnet20_cifar", "se_mobilenet")


def marked(name):
    return name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)


@pytest.mark.parametrize("name", [marked(name) for name in list_models() if not is_others(name)])
def test_the_tree_is_golden(name, request):
    golden = GOLDEN / f"{name}.txt"
    if request.config.getoption("--update-golden"):
        golden.write_text(lines(name))
    assert lines(name) == golden.read_text()


@pytest.fixture(scope="module")
def others(request):
    if request.config.getoption("--update-golden"):
        rows = [row(name) for name in list_models() if is_others(name)]
        OTHERS.write_text("".join(",".join(map(str, values)) + "\n" for values in rows))
    return {line.partition(",")[0]: line for line in OTHERS.read_text().splitlines()}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in list_models() if is_others(name)])
def test_the_trees_of_others_are_golden(name, others):
    assert ",".join(map(str, row(name))) == others[name]


def test_every_golden_file_has_its_network():
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {name for name in list_models() if not is_others(name)}


def test_the_tree_does_not_depend_on_the_lowering():
    lowered = tree("se_resnext26_32x4d", conv=functools.partial(Convolution, lowering="platform"))
    assert lowered == tree("se_resnext26_32x4d")
