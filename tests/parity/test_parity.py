"""Our networks against timm's, with the same weights; peer.py has written what timm's answer.

Those that are large to compile are compared with `python -m pytest tests/parity --parity` only.
"""

import pytest
from parity.compare import NAMES, relative_errors

QUICK = ("legacy_seresnet18", "mobilenetv1_100", "seresnext26t_32x4d", "seresnext26ts", "seresnet18@16")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.parity) for name in NAMES]
)
def test_logits_and_maps_are_the_peers(name, tmp_path):
    errors = relative_errors(name, tmp_path)
    assert len(errors) >= 3
    assert max(errors.values()) < 1e-4, errors
