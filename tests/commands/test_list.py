from senet_jax.commands import list as listing
from senet_jax.commands.request import Request


def test_networks_come_by_name_and_experiments_with_their_first_line(capsys):
    listing.prepare(Request("list"))()
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    names = " ".join(lines).replace(",", "").split()
    assert {"[se_]resnet20_cifar", "senet154", "[se_]vgg16", "timm/legacy_seresnet50"} <= set(names)
    assert any(line.startswith("experiments/digits.py SE-ResNet-20 on 8x8 handwritten digits") for line in lines)
    assert sum(line.startswith("experiments/") for line in lines) >= 4
