from pathlib import Path

from senet_jax.analysis import published
from senet_jax.analysis.published import ABLATIONS, NETWORKS, Published
from senet_jax.commands import networks
from senet_jax.commands.request import Request
from senet_jax.files import read_table


def test_counts_stand_beside_published_figures(monkeypatch, capsys, tmp_path):
    network = Published("se_resnet20_cifar", "4", {"ratio": 8}, giga_multiply_adds="0.04", error="8.75")
    monkeypatch.setattr(published, "NETWORKS", (network,))
    monkeypatch.setattr(published, "ABLATIONS", ())
    networks.prepare(Request("networks", options=networks.Options(output=tmp_path / "networks.csv")))()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(
        "| network | parameters | running statistics | G multiply-adds | paper: G multiply-adds |"
    )
    (row,) = read_table(tmp_path / "networks.csv")
    assert printed[2] == f"| se_resnet20_cifar, ratio=8 | {row['parameters']} | 1,568 | 0.0408 | 0.04 | 8.75 | 4 |"


def test_the_counts_agree_with_the_papers():
    """The paper's parameters have the running statistics in them, or are cut off and not rounded (table 3)."""
    rows = read_table(Path(__file__).parents[2] / "experiments/results/networks.csv")
    assert len(rows) == len(NETWORKS) + len(ABLATIONS)
    millions = [(row, float(row["paper_parameters"])) for row in rows if row["paper_parameters"]]
    for row, paper in millions:
        counted = sum(int(row[name].replace(",", "")) for name in ("parameters", "statistics")) / 1e6
        assert abs(counted - paper) < 0.11, row
    for row in rows:
        if row["paper_giga_multiply_adds"] and "inception_resnet" not in row["network"]:
            assert abs(float(row["giga_multiply_adds"]) / float(row["paper_giga_multiply_adds"]) - 1) < 0.03, row
