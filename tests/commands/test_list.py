from senet_jax.commands import list as listing
from senet_jax.commands.command_line import Request


def test_networks_come_with_parameters_and_experiments_with_their_first_line(monkeypatch, capsys):
    monkeypatch.setattr(listing, "list_models", lambda: ["se_resnet20_cifar"])
    listing.prepare(Request("list"))()
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "se_resnet20_cifar 274,847" in lines
    assert any(line.startswith("experiments/digits.py SE-ResNet-20 on 8x8 handwritten digits") for line in lines)
    assert sum(line.startswith("experiments/") for line in lines) >= 4
