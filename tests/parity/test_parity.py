"""Our networks against timm's, with the same weights; peer.py has written the outputs of timm's.

Those that are large to compile are compared with `python -m pytest tests/parity --parity` only; with `--update-golden`
it writes the largest errors to experiments/results/parity.csv. Without --parity each takes one size: where it can,
that which its strides do not divide.
"""

import csv
from pathlib import Path

import pytest
from parity import rule
from parity.compare import NAMES, relative_errors

QUICK = ("legacy_seresnet18", "mobilenetv1_100", "seresnext26t_32x4d", "seresnext26ts", "seresnet18@16")
RESULTS = Path(__file__).parents[2] / "experiments/results/parity.csv"


@pytest.fixture(scope="module")
def table(request):
    rows = []
    yield rows
    if request.config.getoption("--update-golden") and len(rows) == len(NAMES):
        with RESULTS.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([("network", "logits", "maps"), *sorted(rows)])


@pytest.mark.slow
@pytest.mark.xdist_group("parity")
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.parity) for name in NAMES]
)
def test_logits_and_maps_are_the_peers(name, tmp_path, table, request):
    sizes = rule.sizes(name)
    errors = relative_errors(name, tmp_path, sizes if request.config.getoption("--parity") else sizes[-1:])
    assert len(errors) >= 3
    assert max(errors.values()) < 1e-4, errors
    logits = max(error for key, error in errors.items() if "logits" in key)
    maps = max(error for key, error in errors.items() if "stride" in key)
    table.append((name, f"{logits:.1e}", f"{maps:.1e}"))
