"""A report as one HTML page without scripts and other files."""

import base64
from collections.abc import Collection, Mapping, Sequence
from html import escape
from pathlib import Path

_STYLE = """
:root { color-scheme: light; font-family: system-ui, sans-serif; line-height: 1.5; color: #1b1f24; background: #fff; }
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0.2rem; } h2 { margin-top: 2.2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.8rem; border-bottom: 1px solid #d8dee4; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #1b1f24; }
tr.baseline { background: #f3f5f7; }
figure { margin: 1.2rem 0; } img { max-width: 100%; height: auto; } figcaption { color: #57606a; }
details { margin: 0.6rem 0; } summary { cursor: pointer; }
code { font-family: ui-monospace, monospace; font-size: 0.9em; overflow-wrap: anywhere; }
.note { color: #57606a; }
"""


def page(title: str, subtitle: str, sections: Mapping[str, Sequence[str]]) -> str:
    """Returns the page of sections by their headings, each a sequence of parts that the functions below make.

    A section without parts is left out.
    """
    body = "".join(f"<h2>{escape(heading)}</h2>\n{''.join(parts)}" for heading, parts in sections.items() if parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{_STYLE}</style>\n</head>\n'
        f'<body>\n<h1>{escape(title)}</h1>\n<p class="note">{escape(subtitle)}</p>\n{body}</body>\n</html>\n'
    )


def table(rows: Sequence[Mapping[str, str]], baselines: Collection[int] = ()) -> str:
    """Returns a table of rows of cells by their titles; `baselines` are the numbers of rows to highlight."""
    head = "".join(f"<th>{escape(title)}</th>" for title in rows[0])
    lines = []
    for number, row in enumerate(rows):
        mark = ' class="baseline"' if number in baselines else ""
        lines.append(f"<tr{mark}>{''.join(f'<td>{escape(cell)}</td>' for cell in row.values())}</tr>\n")
    body = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{''.join(lines)}</tbody>"
    return f'<div class="scroll"><table>\n{body}</table></div>\n'


def note(text: str) -> str:
    """Returns a paragraph in small print."""
    return f'<p class="note">{escape(text)}</p>\n'


def picture(path: Path, caption: str) -> str:
    """Returns a figure with the content of a PNG file."""
    data = base64.b64encode(path.read_bytes()).decode()
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>\n"
    )


def folded(heading: str, content: str) -> str:
    """Returns content that is shown after a click on its heading."""
    return f"<details><summary>{escape(heading)}</summary>\n{content}</details>\n"
