"""Sweeps: lists of variants, each a name and the fields that it changes, and functions that combine them.

A file of `experiments/ablations/` has get_config(), which returns the experiment that is varied, and:

    def sweep() -> Sweep:
        networks = chain(variant("no SE", {"model.attention": "none"}), axis("model.ratio", [2, 4, 8, 16, 32]))
        return product(networks, seeds(3)).against("no SE")

Standard library only, so that a wrong sweep is refused before anything slow is imported.
"""

import copy
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from senet_jax.config import Experiment
from senet_jax.schema import assign, did_you_mean, field_types, flatten, validate
from senet_jax.texts import written

_OF = "weights of "
"""Prefix of a label as the value of "init.weights"."""


@dataclass(frozen=True)
class Variant:
    """One experiment of a sweep."""

    axes: tuple[tuple[str, Mapping[str, Any]], ...]
    """Name on each axis and the fields that it changes, such as (("ratio=8", {"model.ratio": 8}), ...)."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Name on each axis, such as ("ratio=8", "seed=1")."""
        return tuple(label for label, _ in self.axes)

    @property
    def changes(self) -> dict[str, Any]:
        """Fields and their values, such as {"model.ratio": 8, "seed": 1}."""
        return {field: value for _, changes in self.axes for field, value in changes.items()}

    @property
    def name(self) -> str:
        """Name of its directory, such as "ratio=8/seed=1"."""
        return "/".join(self.labels)

    @property
    def group(self) -> str:
        """Name without those on axes of seeds alone, which the runs of a mean have in common."""
        return "/".join(label for label, changes in self.axes if changes.keys() != {"seed"}) or "base"


@dataclass(frozen=True)
class Sweep:
    """Variants of an experiment."""

    variants: tuple[Variant, ...]
    baseline: str | None = None
    """Group or label of an axis that the others are compared with."""

    def __post_init__(self) -> None:
        """Raises ValueError if there is no variant, or if two have the same name or the same changes."""
        if not self.variants or not self.variants[0].labels:
            raise ValueError("the sweep has no variants; chain, product and zipped need one sweep at least")
        for name, times in Counter(variant.name for variant in self.variants).items():
            if times > 1:
                raise ValueError(f"{times} variants are called {name!r}; each needs a name of its own")
        _refuse_alike({variant.name: variant.changes for variant in self.variants})

    def against(self, baseline: str) -> "Sweep":
        """Returns the sweep with this group, or this label of an axis, as its baseline.

        With "no SE" as the label of an axis, "ResNet-50/SE" is compared with "ResNet-50/no SE". Raises ValueError if
        neither has this name.
        """
        groups = list(dict.fromkeys(variant.group for variant in self.variants))
        known = list(dict.fromkeys([*groups, *(label for group in groups for label in group.split("/"))]))
        if baseline not in known:
            near = did_you_mean(baseline, known)
            raise ValueError(f"the baseline is {baseline!r}; it must be one of {', '.join(known)}{near}")
        return replace(self, baseline=baseline)

    def baseline_of(self, group: str) -> str | None:
        """Returns the group that one is compared with, itself if it is a baseline; None if there is no such group."""
        if self.baseline is None:
            return None
        groups = {variant.group for variant in self.variants}
        if self.baseline in group.split("/"):
            return group
        swapped = _swapped(group.split("/"), self.baseline)
        return self.baseline if self.baseline in groups else next(filter(groups.__contains__, swapped), None)

    def sources(self) -> dict[str, str]:
        """Returns the names of variants that start from the weights of another one (`weights_of`), and of those.

        Raises ValueError if there is no such variant before one.
        """
        found, before = {}, set[str]()
        for each in self.variants:
            weights = str(each.changes.get("init.weights"))
            if weights.startswith(_OF):
                label = weights.removeprefix(_OF)
                source = next(filter(before.__contains__, _swapped(each.labels, label)), None)
                if source is None:
                    near = did_you_mean(label, {part for name in before for part in name.split("/")})
                    raise ValueError(
                        f"variant {each.name!r} starts from {label!r}, and no variant before it has this label "
                        f"instead of one of its own{near}"
                    )
                found[each.name] = source
            before.add(each.name)
        return found


@dataclass(frozen=True)
class Row:
    """A variant in the table of a sweep and in its sweep.json."""

    group: str
    baseline: str | None
    changes: Mapping[str, Any]
    parameters: int
    multiply_adds: int
    duration: str = ""
    """Duration in steps, or as configured if the dataset is not prepared."""
    images: int | None = None
    """Images in all steps of training; None if the number of the dataset's is not known."""

    def hours(self, teraflops: float) -> float | None:
        """Returns the hours of training: of an image, three forward passes of two operations a multiply-add."""
        return None if self.images is None else 6 * self.multiply_adds * self.images / (teraflops * 1e12) / 3600


def variant(name: str, changes: Mapping[str, Any]) -> Sweep:
    """Makes one variant, which changes any number of fields, or none."""
    fields = field_types(Experiment)
    for field in changes:
        if field not in fields:
            leaf = field.rpartition(".")[2]
            near = [known for known in fields if known.rpartition(".")[2] == leaf]
            hint = f"; did you mean {near[0]!r}?" if near else did_you_mean(field, fields)
            raise ValueError(f"there is no field {field!r}{hint}")
    if not name or name != name.strip(" .") or any(c in '/\\:*?"<>|[]' or not c.isprintable() for c in name):
        raise ValueError(
            f"the name is {name!r}, which cannot name a directory; name the values, as in "
            'axis("model.name", {"50": "timm/seresnet50"})'
        )
    return Sweep((Variant(((name, dict(changes)),)),))


def axis(field: str, values: Iterable[Any] | Mapping[str, Any]) -> Sweep:
    """Makes a variant for each value of a field, named "ratio=8", or by the keys of a mapping."""
    if not isinstance(values, Mapping):
        leaf, values = field.rpartition(".")[2], list(values)
        names = [f"{leaf}={written(value)}" for value in values]
        if len(set(names)) < len(names):
            raise ValueError(f"the axis {field!r} has a value twice: {', '.join(names)}")
        values = dict(zip(names, values, strict=True))
    if not values:
        raise ValueError(f"the axis {field!r} has no values")
    return chain(*(variant(name, {field: value}) for name, value in values.items()))


def weights_of(label: str) -> str:
    """Returns the value of "init.weights" for variants that start from other runs of their sweep.

    Those have the label instead of one of the variant's own: with "plain", "longer/seed=1" starts from "plain/seed=1".
    They come before it in the sweep, and it waits for them.
    """
    return f"{_OF}{label}"


def seeds(number: int) -> Sweep:
    """Makes a variant for each of the seeds 0 to number - 1."""
    return axis("seed", range(number))


def chain(*sweeps: Sweep) -> Sweep:
    """Makes the variants of the first sweep, then those of the second, and so on."""
    return Sweep(tuple(itertools.chain.from_iterable(_variants(sweeps))))


def product(*sweeps: Sweep) -> Sweep:
    """Combines every variant of the first sweep with every one of the second, and so on; the last varies fastest.

    Raises ValueError if two of them set the same field.
    """
    return Sweep(tuple(_together(chosen) for chosen in itertools.product(*_variants(sweeps))))


def zipped(*sweeps: Sweep) -> Sweep:
    """Combines the first variants of all sweeps, then the second ones, and so on, as one axis.

    Runs are not averaged over the seeds in it.

    Raises ValueError if the sweeps differ in length, or if two of them set the same field.
    """
    lengths = [len(sweep.variants) for sweep in sweeps]
    if len(set(lengths)) > 1:
        axes = (f"{len(sweep.variants)} ({', '.join(v.name for v in sweep.variants)})" for sweep in sweeps)
        raise ValueError(f"zipped takes axes of the same length; these have {' and '.join(axes)}")
    merged = (_together(chosen) for chosen in zip(*_variants(sweeps), strict=True))
    return Sweep(tuple(Variant(((", ".join(variant.labels), variant.changes),)) for variant in merged))


def resolve(base: Experiment, sweep: Sweep, workdir: Path = Path()) -> dict[str, Experiment]:
    """Returns the whole configuration of each variant, by its name, for runs in directories of the workdir.

    Raises ValueError for the first impossible value, and if two variants are the same experiment.
    """
    configs: dict[str, Experiment] = {}
    sources = sweep.sources()
    for each in sweep.variants:
        configs[each.name] = config = copy.deepcopy(base)
        assign(config, each.changes)
        if each.name in sources:  # Resolved, so that no other spelling of the workdir is another experiment.
            config.init.weights = str((workdir / sources[each.name]).resolve())
        try:
            validate(config)
        except ValueError as error:
            raise ValueError(f"variant {each.name!r}: {error}") from error
    _refuse_alike({name: flatten(config) for name, config in configs.items()})
    return configs


def shard(names: Sequence[str], part: str) -> list[str]:
    """Returns the names of a part such as "3/8", the third of eight: neighbours, which most often share a program.

    Raises ValueError if the part does not exist.
    """
    number, _, parts = part.partition("/")
    if not (number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts)):
        raise ValueError(f"the shard is {part!r}; it must be a part and their number, from '1/8' to '8/8'")
    first, last = (len(names) * end // int(parts) for end in (int(number) - 1, int(number)))
    return list(names[first:last])


def _variants(sweeps: Iterable[Sweep]) -> list[tuple[Variant, ...]]:
    for sweep in sweeps:
        if sweep.baseline is not None:
            raise ValueError(f"the baseline {sweep.baseline!r} is of a part of the sweep; against() comes last")
    return [sweep.variants for sweep in sweeps]


def _swapped(labels: Sequence[str], label: str) -> list[str]:
    """Returns the names with the label instead of each of theirs."""
    return ["/".join([*labels[:place], label, *labels[place + 1 :]]) for place in range(len(labels))]


def _together(variants: Iterable[Variant]) -> Variant:
    merged = Variant(())
    for each in variants:
        for field in each.changes.keys() & merged.changes.keys():
            raise ValueError(f"{field} is set twice, in {merged.name!r} and in {each.name!r}")
        merged = Variant(merged.axes + each.axes)
    return merged


def _refuse_alike(variants: Mapping[str, dict[str, Any]]) -> None:
    seen: dict[frozenset[tuple[str, Any]], str] = {}
    for name, fields in variants.items():
        content = frozenset((field, repr(value)) for field, value in fields.items())
        if content in seen:
            raise ValueError(f"{seen[content]!r} and {name!r} are the same experiment; leave one out")
        seen[content] = name
