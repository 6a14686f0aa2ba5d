"""A report as one HTML page that needs nothing else: no server, no script, no other file."""

import base64
from collections.abc import Mapping, Sequence
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
    """The page: sections by their headings, each of parts that the functions here make."""
    body = "".join(f"<h2>{escape(heading)}</h2>\n{''.join(parts)}" for heading, parts in sections.items())
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{_STYLE}</style>\n</head>\n'
        f'<body>\n<h1>{escape(title)}</h1>\n<p class="note">{escape(subtitle)}</p>\n{body}</body>\n</html>\n'
    )


def table(rows: Sequence[Mapping[str, str]], baseline: int | None = None) -> str:
    """Rows of cells by their titles; the baseline is the number of one that stands out."""
    head = "".join(f"<th>{escape(title)}</th>" for title in rows[0])
    lines = []
    for number, row in enumerate(rows):
        mark = ' class="baseline"' if number == baseline else ""
        lines.append(f"<tr{mark}>{''.join(f'<td>{escape(cell)}</td>' for cell in row.values())}</tr>\n")
    body = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{''.join(lines)}</tbody>"
    return f'<div class="scroll"><table>\n{body}</table></div>\n'


def note(text: str) -> str:
    """A paragraph beside the matter."""
    return f'<p class="note">{escape(text)}</p>\n'


def picture(path: Path, caption: str) -> str:
    """A PNG file, which becomes part of the page."""
    data = base64.b64encode(path.read_bytes()).decode()
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>\n"
    )


def folded(heading: str, content: str) -> str:
    """What is shown when its heading is clicked."""
    return f"<details><summary>{escape(heading)}</summary>\n{content}</details>\n"
