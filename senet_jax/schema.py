"""Dataclasses as schemas: the type of a field says which values it takes, and the string below it is its meaning.

A field is a number, a text, a path, a boolean, one of some words (`Literal["mean", "max"]`), a tuple of any length,
one of these or None, or a section: another such dataclass. `Annotated` adds a `Rule` or a `Relation` to the type.

Standard library only, so that a wrong value is refused before anything slow is imported.
"""

import ast
import dataclasses
import difflib
import functools
import inspect
import itertools
import operator
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

UNIONS = (typing.Union, types.UnionType)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Rule:
    """Bounds a type: `Positive = Annotated[float, Rule("a positive number", lambda value: value > 0)]`."""

    words: str
    """Description of all values that the type takes then; it follows "it must be", or the name of an argument."""
    holds: Callable[[Any], bool]
    """Tests a value of the type."""
    names: tuple[str, ...] = ()
    """All values, if they are names; the nearest are offered instead of a wrong one."""


@dataclass(frozen=True)
class Relation:
    """Bounds a field by other fields; it is tested after the types and rules of all fields hold."""

    words: str
    """Description of the values that are possible; `{config.batch_size}` stands for the value of another field."""
    holds: Callable[[Any, Any], bool]
    """Tests the value of the field, given the whole configuration too."""


@dataclass(frozen=True)
class Adjustable:
    """Marks a field that can change when a run goes on, because its result does not depend on it."""

    by_host: bool = False
    """Whether the hosts of one run can differ in it too."""


@dataclass(frozen=True)
class Placeholder:
    """Stands for a value in help and messages, as DIRECTORY in --output=DIRECTORY."""

    text: str


def one_of(names: Iterable[str]) -> Rule:
    """Bounds a text to names that the program makes; words that can be written down are a `Literal`."""
    known = tuple(names)
    return Rule(f"one of {', '.join(known)}", known.__contains__, known)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns the nearest of the known names as the end of a message, "; did you mean 'x'?", or "" if none is near.

    A second one is named if it is nearly as near.
    """
    near = difflib.get_close_matches(name, sorted(set(known)), n=2)
    likeness = [difflib.SequenceMatcher(None, each, name).ratio() for each in near]
    near = [each for each, like in zip(near, likeness, strict=True) if like > likeness[0] - 0.1]
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


@functools.cache
def hints(kind: type) -> Mapping[str, Any]:
    """Returns the types of the fields of a dataclass, with their rules, by the names of the fields."""
    found = typing.get_type_hints(kind, include_extras=True)
    return {field.name: found[field.name] for field in dataclasses.fields(kind)}


def sections(kind: type) -> dict[str, type]:
    """Returns the fields of a dataclass that are dataclasses themselves, such as "model": ModelConfig."""
    return {name: hint for name, hint in hints(kind).items() if _is_section(hint)}


@functools.cache
def field_types(kind: type) -> Mapping[str, Any]:
    """Returns the type of every leaf of a dataclass, with its rules, by dotted names such as "optimizer.momentum"."""
    return dict(_leaves(kind, hints))


@functools.cache
def documentation(kind: type) -> Mapping[str, str]:
    """Returns the string below each leaf in the source of a dataclass, by its dotted name."""
    return dict(_leaves(kind, _documented))


def _leaves(kind: type, described: Callable[[type], Mapping[str, _T]]) -> Iterable[tuple[str, _T]]:
    within = sections(kind)
    for name in hints(kind):
        if name in within:
            yield from ((f"{name}.{leaf}", each) for leaf, each in _leaves(within[name], described))
        else:
            yield name, described(kind)[name]


def _documented(kind: type) -> Mapping[str, str]:
    found = dict.fromkeys(hints(kind), "")
    for base in filter(_is_section, reversed(kind.__mro__)):
        definition: Any = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        for statement, following in itertools.pairwise(definition.body):
            match statement, following:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = " ".join(text.split())
    return found


def flatten(config: Any) -> dict[str, Any]:
    """Returns the value of every leaf of a configuration, by its dotted name."""
    return {name: operator.attrgetter(name)(config) for name in field_types(type(config))}


def assign(config: Any, values: Mapping[str, Any]) -> None:
    """Sets leaves of a configuration, by their dotted names."""
    for name, value in values.items():
        section, _, leaf = name.rpartition(".")
        setattr(operator.attrgetter(section)(config) if section else config, leaf, value)


def to_dict(config: Any) -> dict[str, Any]:
    """Returns the configuration as nested dictionaries that JSON can hold."""
    return dataclasses.asdict(
        config, dict_factory=lambda items: {name: list(x) if isinstance(x, tuple) else x for name, x in items}
    )


def from_dict(kind: type[_T], values: Any) -> _T:
    """Returns the configuration of this kind from a dictionary of `to_dict`. Raises ValueError for an unknown field."""
    known, within = hints(kind), sections(kind)
    if not isinstance(values, dict):
        raise ValueError(f"{kind.__name__} is {values!r}; it must be an object with the fields {', '.join(known)}")
    config = kind()
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"{kind.__name__} has no field {name!r}{did_you_mean(name, known)}")
        if name in within:
            setattr(config, name, from_dict(within[name], value))
        else:
            setattr(config, name, tuple(value) if isinstance(value, list) else value)
    return config


def required(kind: type) -> list[str]:
    """Returns the fields of a dataclass that have no default."""
    none = dataclasses.MISSING
    return [field.name for field in dataclasses.fields(kind) if (field.default, field.default_factory) == (none, none)]


def said(value: Any) -> str:
    """Returns the value of a field as messages give it: none, true and false as on the command line."""
    return str(value).lower() if value is None or isinstance(value, bool) else repr(value)


def check(name: str, value: Any, hint: Any) -> None:
    """Raises ValueError if the value is not of the type or breaks a rule of it, with the name and what is allowed."""
    if not _fits(value, hint):
        raise ValueError(f"{name} is {said(value)}; it must be {describe(hint)}{_near(value, hint)}")


def validate(config: Any) -> None:
    """Raises ValueError for the first impossible value, with its field, the value and the values that are allowed."""
    _check_sections(config, "config.")
    kinds = field_types(type(config))
    for name, value in flatten(config).items():
        check(f"config.{name}", value, kinds[name])
    for name, value in flatten(config).items():
        for relation in extras(kinds[name], Relation):
            if not relation.holds(value, config):
                allowed = relation.words.format(config=config)
                raise ValueError(f"config.{name} is {said(value)}; it must be {allowed}")


def _check_sections(config: Any, prefix: str) -> None:
    for name, kind in sections(type(config)).items():
        value = getattr(config, name)
        if not isinstance(value, kind):
            raise ValueError(f"{prefix}{name} is {value!r}; it must be a {kind.__name__}")
        _check_sections(value, f"{prefix}{name}.")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type and keeps its rules."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _fits(value, arguments[0]) and all(rule.holds(value) for rule in extras(hint, Rule))
    if origin in UNIONS:
        return any(_fits(value, member) for member in arguments)
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(item, arguments[0]) for item in value)
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def _near(value: Any, hint: Any) -> str:
    """Returns the end of a message: names that are near the first wrong one of a value."""
    items, known = value if isinstance(value, tuple) else (value,), words(hint)
    wrong = (item for item in items if isinstance(item, str) and item not in known)
    return did_you_mean(next(wrong, ""), known)


def describe(hint: Any) -> str:
    """Describes the values that a type with its rules takes: "a positive number, or none"."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return [describe(arguments[0]), *(rule.words for rule in extras(hint, Rule))][-1]
    if origin in UNIONS:
        return ", or ".join(map(describe, arguments))
    if origin is tuple:
        return f"a tuple, each element {describe(arguments[0])}"
    if origin is Literal:
        return f"one of {', '.join(arguments)}"
    return _SIMPLE.get(hint, "none")


def words(hint: Any) -> tuple[str, ...]:
    """Returns the words of a type that takes some words only; empty for other types."""
    if typing.get_origin(hint) is Literal:
        return typing.get_args(hint)
    named = [name for rule in extras(hint, Rule) for name in rule.names]
    return (*named, *(word for member in typing.get_args(hint) for word in words(member)))


def _is_section(hint: Any) -> bool:
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def extras(hint: Any, kind: type[_T]) -> list[_T]:
    """Returns the rules, relations or other additions of this kind to a type."""
    return [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, kind)]


_SIMPLE = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a local path",
}
