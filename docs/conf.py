"""Sphinx configuration: `sphinx-build -W docs build/site`."""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.ext.napoleon import GoogleDocstring

sys.path.insert(0, str(Path(__file__).parents[1]))

import senet_jax
from senet_jax.commands.options import COMMANDS, flags, meaning
from senet_jax.config import Experiment
from senet_jax.schema import describe, documentation, field_types, flatten
from senet_jax.texts import written

project = "senet_jax"
author = "the senet_jax contributors"
version = release = senet_jax.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "sphinx_book_theme"
html_title = "senet_jax"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False, "navbar_persistent": []}  # One search field.
html_css_files = ["site.css"]
html_static_path = ["_static"]
html_show_copyright = False
default_role = "code"
smartquotes_action = "D"  # Straight quotes can be pasted.
autodoc_default_options = {"member-order": "bysource"}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True


def setup(app: Sphinx) -> None:
    """Registers the functions below."""
    app.connect("source-read", _fill_command_line)
    app.connect("autodoc-process-docstring", _restructured)
    app.connect("autodoc-process-signature", _without_fields)


def _fill_command_line(_app: Sphinx, name: str, content: list[str]) -> None:
    """Puts the commands and the fields, as the program has them, below their headings."""
    if name == "command_line":
        tables = iter([_commands(), _fields()])
        content[0] = re.sub("<!--.*?-->", lambda _: next(tables), content[0])


def _commands() -> str:
    parts = []
    for name in COMMANDS:
        parts += [f"### {name}", meaning(name)]
        parts += [_table(("flag", "meaning"), list(flags(name).items()))] if flags(name) else []
    return re.sub(r"--\w[\w.]*\w(=(?:[\w.:/]|\\\|)*\w)?", r"`\g<0>`", "\n\n".join(parts))


def _fields() -> str:
    meanings, kinds = documentation(Experiment), field_types(Experiment)
    rows: dict[str, list[tuple[str, ...]]] = {}
    for name, value in flatten(Experiment()).items():
        default = f"`{written(value)}`" if written(value) else ""
        row = f"`--config.{name}`", default, describe(kinds[name]), meanings[name]
        rows.setdefault(name.rpartition(".")[0], []).append(row)
    titles = ("flag", "default", "type", "meaning")
    return "\n\n".join(f"### {name or 'experiment'}\n{_table(titles, cells)}" for name, cells in rows.items())


def _table(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [titles, ("---",) * len(titles), *rows]
    cells = [[re.sub(r"`[^`]+`|[*<]", _literal, cell).replace("|", r"\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _literal(match: re.Match) -> str:
    """Escapes characters of Markdown outside of code."""
    return match[0] if match[0].startswith("`") else f"\\{match[0]}"


def _restructured(_app: Sphinx, what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Makes reStructuredText of docstrings, whose only markup is `code` and, in functions, "Args:"."""
    text = re.sub(r"`[^`]+`|[*|]|(?<=\w)_(?!\w)", _escaped, "\n".join(lines))
    lines[:] = GoogleDocstring(text).lines() if what in ("function", "method") else text.split("\n")


def _escaped(match: re.Match) -> str:
    return f"`{match[0]}`" if match[0].startswith("`") else f"\\{match[0]}"


def _without_fields(_app: Sphinx, what: str, *_: object) -> tuple[str, None] | None:
    """Leaves out the signatures of classes, whose fields are listed below their names."""
    return ("", None) if what == "class" else None
