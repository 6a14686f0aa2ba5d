"""Values of a schema as texts of the command line, and lists of names in messages."""

import math
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from senet_jax.files import expanded
from senet_jax.schema import UNIONS, Placeholder, extras

_PLACEHOLDERS = {int: "N", float: "NUMBER", bool: "BOOLEAN", Path: "PATH"}
_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def read(text: str, hint: Any) -> Any:
    """Returns the value for a text of the command line, of this type. Raises ValueError if it has none."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return read(text, arguments[0])
    if origin in UNIONS:
        return None if text.lower() == "none" else read(text, arguments[0])
    if origin is tuple:
        items = [item.strip(" '\"") for item in text.strip(" ()").split(",")]
        return tuple(read(item, arguments[0]) for item in items if item)
    if hint is bool:
        if text.lower() not in _BOOLEANS:
            raise ValueError(f"{text!r} is neither true nor false")
        return _BOOLEANS[text.lower()]
    if hint is Path:
        path = expanded(text)
        if not text or "://" in text or str(path).startswith("~"):  # "~name" of no user stays as it is.
            raise ValueError(f"{text!r} is not a local path")
        return path
    return text if origin is Literal else hint(text)


def written(value: Any) -> str:
    """Returns a value as the command line takes it, in its shortest form."""
    if isinstance(value, tuple):
        return ",".join(map(written, value))
    if isinstance(value, float) and math.isfinite(value) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def placeholder(hint: Any) -> str:
    """Returns the text that stands for a value of a type: its `Placeholder`, or one by its kind."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if own := extras(hint, Placeholder):
        return own[0].text
    if origin is Literal:
        return "|".join(arguments)
    return placeholder(arguments[0]) if arguments else _PLACEHOLDERS.get(hint, "TEXT")


def is_boolean(hint: Any) -> bool:
    """Whether a type is true or false, whatever its rules."""
    return (typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint) is bool


def some(names: Sequence[str], limit: int = 5) -> str:
    """Returns the first of the names, and how many more there are: "a, b and 7 more"."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit:,} more" if len(names) > limit else "")
