"""Statistics of gates over seeds, and the claims of the paper."""

import pytest

from benchmarks.claims import Claim, claims, decide
from senet_jax.analysis.comparison import Run

BLOCKS = [f"stage{stage}_block{block}" for stage in (2, 3, 4) for block in (1, 2, 3)]
STDS = {"stage2_block3": 0.01, "stage4_block1": 0.09, "stage4_block3": 0.0}


def gates(seed):
    """Returns rows of a network whose gates are class-specific in stage4_block1 alone, and saturate in the next."""
    return [
        {"variant": "SE", "seed": str(seed), "block": block, "std": str(std and std + seed / 1000), "class_std": "0.02"}
        | {"near_1": "0.9" if block == "stage4_block2" else "0", "between_classes": "0.25" if std else "nan"}
        for block in BLOCKS
        for std in (STDS.get(block, 0.05),)
    ]


def replaced(seed):
    return [
        {"variant": "SE", "seed": str(seed), "replaced": name, "difference": str(difference - seed / 1000)}
        for name, difference in (("stage4", 0.0), ("all blocks", -0.2))
    ]


def test_claims_of_the_paper():
    blocks, left = (
        [row for seed in range(3) for row in gates(seed)],
        [row for seed in range(3) for row in replaced(seed)],
    )
    accuracies = {"SE": (0.9, 0.91, 0.92), "placement=post": (0.8, 0.82, 0.81), "placement=pre": (0.9, 0.9, 0.93)}
    runs = [
        Run(variant, seed, "SE", {}, 1, 1, {"accuracy": accuracy})
        for variant, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]
    seen = {row["the paper says"]: row["seen here"] for row in decide(claims(blocks, left, runs), planned=3)}
    assert list(seen.values()) == [
        "yes",
        "yes",
        "yes",
        "not decidable",
        "not decidable",
        *["not decidable: 0 of 3 runs"] * 4,
        "yes",
        "not decidable",
        "not decidable: 0 of 3 runs",
    ]


@pytest.mark.parametrize(
    ("values", "above", "seen"),
    [
        ([0.10, 0.11, 0.12], True, "yes"),
        ([0.10, 0.11, 0.12], False, "no"),
        ([-0.10, -0.11], True, "no"),
        ([-0.10, 0.11], True, "not decidable"),
        ([0.1, 0.1], True, "yes"),
        ([], True, "not decidable: 0 of 2 runs"),
        ([0.1], True, "not decidable: 1 of 2 runs"),
    ],
)
def test_a_claim_is_decided_by_its_interval(values, above, seen):
    (row,) = decide([Claim("table 1", "it is so", "a number", values, "+.3f", above=above)], planned=2)
    assert row["seen here"] == seen
    assert row["runs"] == str(len(values))
