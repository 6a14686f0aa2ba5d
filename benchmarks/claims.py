"""Whether the gates of experiments/cifar10/se_against_plain.py agree with the paper (Hu et al., section 7.2)."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from senet_jax.analysis.comparison import Run, mean_interval
from senet_jax.analysis.excitation_runs import Rows


class Claim(NamedTuple):
    """A statement of the paper, and a number of each run with the bound that decides it."""

    source: str
    statement: str
    measured: str
    """The number in words."""
    values: Sequence[float]
    """The number, run by run."""
    form: str
    bound: float = 0.0
    above: bool = True
    """Whether the statement holds above the bound; else it holds below."""


def decide(claims: Sequence[Claim], planned: int) -> list[dict[str, str]]:
    """Returns the cells of each claim: it is seen if the 95 % interval of the mean is on its side of the bound.

    Fewer runs than were planned decide nothing: of many looks at an unfinished sweep, one shows a difference by chance.
    """
    table = []
    for claim in claims:
        values = claim.values
        if len(values) < planned:
            shown, seen = "", f"not decidable: {len(values)} of {planned} runs"
        else:
            low, high = mean_interval(values) or (values[0], values[0])
            shown = f"{statistics.fmean(values):{claim.form}} ({low:{claim.form}} to {high:{claim.form}})"
            above, below = low > claim.bound, high < claim.bound
            seen = "not decidable" if not (above or below) else "yes" if above == claim.above else "no"
        table.append(
            {
                "source": claim.source,
                "the paper says": claim.statement,
                "measured": claim.measured,
                "mean (95 % interval)": shown,
                "runs": str(len(claim.values)),
                "seen here": seen,
            }
        )
    return table


def claims(blocks: Rows, replaced: Rows, runs: Sequence[Run]) -> list[Claim]:
    """Returns the claims of the paper about gates, squeeze, excitation and placement.

    Args:
      blocks: rows of the table "gates" for the variant "SE" of a ResNet with three blocks a stage.
      replaced: rows of the table "mean_gates" for it.
      runs: runs of the whole sweep.
    """
    seeds = list(dict.fromkeys(row["seed"] for row in blocks))
    own = {(row["seed"], row["block"]): row for row in blocks}
    left = {(row["seed"], row["replaced"]): float(row["difference"]) for row in replaced}
    accuracies = {(run.variant, run.seed): run.results["accuracy"] for run in runs}
    names = list(dict.fromkeys(row["block"] for row in blocks))
    early, (first, saturated, last) = names[2], names[-3:]

    def column(name: str, block: str) -> list[float]:
        return [float(own[seed, block][name]) for seed in seeds]

    def between(block: str) -> list[float]:
        shares = zip(column("std", block), column("between_classes", block), strict=True)
        return [std * math.sqrt(share) if std else 0.0 for std, share in shares]

    def less(late: list[float], early: list[float]) -> list[float]:
        return [a - b for a, b in zip(late, early, strict=True)]

    def than_se(variant: str) -> list[float]:
        pairs = [(own, ("SE", seed)) for (name, seed), own in accuracies.items() if name == variant]
        return [own - accuracies[pair] for own, pair in pairs if pair in accuracies]

    between_std, points = "std times root of the share between classes", "+.2%"
    return [
        Claim(
            "figure 6",
            "early gates are shared by the classes, late gates are specific to them",
            f"{between_std}, {first} less {early}",
            less(between(first), between(early)),
            "+.3f",
        ),
        Claim(
            "figure 6",
            "the last block but one is saturated, with most gates near 1",
            f"share of the gates above 0.9, {saturated}",
            column("near_1", saturated),
            ".3f",
            bound=0.5,
        ),
        Claim(
            "figure 6",
            "in the last block, the gates of the classes are alike again",
            f"{between_std}, {last} less {first}",
            less(between(last), between(first)),
            "+.3f",
            above=False,
        ),
        Claim(
            "figure 7",
            "gates also differ between images of a class, most in late layers",
            f"std within a class, {first} less {early}",
            less(column("class_std", first), column("class_std", early)),
            "+.3f",
        ),
        Claim(
            "section 4",
            "the SE blocks of the last stage can be removed for less than 0.1 points of top-5 error",
            "top-1 accuracy with mean gates in stage 4 instead (nothing is removed), difference",
            [left[seed, "stage4"] for seed in seeds],
            points,
            bound=-0.001,
        ),
        *(
            Claim(table, says, f"accuracy of {title} less that of SE", than_se(variant), points, above=False)
            for table, says, title, variant in (
                ("table 11", "with the maximum as squeeze it is worse", "Max", "squeeze=max"),
                ("table 12", "with ReLU gates it is worse", "ReLU", "gate=relu"),
                ("table 12", "with tanh gates it is worse", "Tanh", "gate=tanh"),
                ("table 16", "without the squeeze it is worse", "NoSqueeze", "squeeze=none"),
                ("table 14", "SE after the sum (POST) is worse", "POST", "placement=post"),
            )
        ),
        *(
            Claim(
                "table 14",
                f"{title} is as good as SE, within half a point",
                f"accuracy of {title} less that of SE",
                than_se(f"placement={placement}"),
                points,
                bound=-0.005,
            )
            for title, placement in (("SE-PRE", "pre"), ("SE-Identity", "identity"))
        ),
    ]
