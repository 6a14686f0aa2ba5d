"""Patterns for the parameters of a network, such as "stem", "stage2" or "*/norm*". Standard library only."""

import fnmatch
import re
from collections.abc import Iterable, Sequence

from senet_jax.schema import did_you_mean


def matches(pattern: str, path: Sequence[str]) -> bool:
    """Whether a shell pattern matches a parameter: its path, a module around it or, as "stage2", its stage.

    `path` is that of the parameter: ("stage2_block1", "norm1", "scale"). A `*` stands for slashes too.
    """
    around = ["/".join(path[:length]) for length in range(1, len(path) + 1)]
    stage = re.match(r"([a-z]+\d+)_", path[0])
    return any(fnmatch.fnmatchcase(name, pattern) for name in [*around, *([stage[1]] if stage else [])])


def matched(patterns: Iterable[str], paths: Sequence[Sequence[str]], field: str) -> dict[str, list[Sequence[str]]]:
    """Returns the paths that each pattern matches. Raises ValueError, with the field, for one that matches none."""
    found = {pattern: [path for path in paths if matches(pattern, path)] for pattern in patterns}
    for pattern in (pattern for pattern, own in found.items() if not own):
        parts = list(dict.fromkeys(path[0] for path in paths))
        raise ValueError(
            f"{field} has {pattern!r}, which matches no parameter; the network's parts are {', '.join(parts)}"
            f"{did_you_mean(pattern, parts)}"
        )
    return found


def read_numbers(texts: Iterable[str]) -> dict[str, float] | None:
    """Returns names and numbers of texts such as "stem=0.1"; None for another form, or a name that occurs twice."""
    found: dict[str, float] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            value = float({"true": "1", "false": "0"}.get(number, number))
        except ValueError:
            return None
        if not name or name in found:
            return None
        found[name] = value
    return found
