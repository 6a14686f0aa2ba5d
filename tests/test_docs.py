"""README.md, CONTRIBUTING.md and docs/: every Python block is run, every command is read as the program reads it.

The words after a fence's language say how a block differs: "ci" (run by .ci/run), "saved as FILE" (a file for the
commands after it), "compiled only: REASON", "not run: REASON".
"""

import importlib.util
import json
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import jax
import pytest

from senet_jax.commands.command_line import parse
from senet_jax.config import Experiment
from senet_jax.schema import to_dict

pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # Of config_flags.

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LARGE = ("README.md", "networks.md")
"""Pages with networks that are large to compile: their blocks are traced, which computes shapes alone."""


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    mark: str
    text: str


def blocks(page, language):
    found = re.findall(r"^( *)```(\w+) ?(.*)\n((?:.*\n)*?)\1```$", page.read_text(), re.MULTILINE)
    return [
        Block(kind, mark, re.sub(f"^{indent}", "", text, flags=re.MULTILINE))
        for indent, kind, mark, text in found
        if kind == language
    ]


def commands(text):
    """The words of each line, without comments; a line that ends in a backslash goes on in the next."""
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


def with_blocks(language):
    return [pytest.param(page, id=page.name) for page in PAGES if blocks(page, language)]


@pytest.mark.slow
@pytest.mark.parametrize("page", with_blocks("python"))
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}

    def run():
        for block in blocks(page, "python"):
            assert re.fullmatch("|saved as .+|compiled only: .+", block.mark)
            code = compile(block.text, f"a block of {page.name}", "exec")
            if not block.mark.startswith("compiled only"):
                exec(code, names)

    with jax.numpy_rank_promotion("allow"):  # As users have it, whose layers are Flax's too.
        if page.name in LARGE:
            jax.eval_shape(run)
        else:
            run()


@pytest.mark.parametrize("page", with_blocks("bash"))
def test_commands_are_parsed(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    for block in blocks(page, "python"):
        if block.mark.startswith("saved as "):
            Path(block.mark.removeprefix("saved as ")).write_text(block.text)
    for block in blocks(page, "bash"):
        assert re.fullmatch("|ci|not run: .+", block.mark)
        if not block.mark.startswith("not run"):
            text = re.sub(r"^export \w+=\$\((.*)\)$| && ", lambda match: match[1] or "\n", block.text, flags=re.M)
            for words in commands(text):
                understand(words)


def understand(words):
    match words:
        case ["python", "launch.py", *rest]:
            runs = [word for word in rest if re.match("--workdir=|--config=.*/config.json", word)]
            if rest[:1] in (["eval"], ["analyze"]) or "config.json" in "".join(runs):  # It has been trained before.
                workdir = Path(re.sub("^--.*?=|/config.json$", "", [*runs, "--workdir=none"][0]))
                workdir.mkdir(parents=True, exist_ok=True)
                (workdir / "config.json").write_text(json.dumps(to_dict(Experiment())))
            parse(rest)
        case ["python", "-m", module, *_]:
            assert importlib.util.find_spec(module)
        case ["pip", "install", *rest]:
            for flag, value in zip(rest, [*rest[1:], ""], strict=True):
                assert flag != "-r" or (ROOT / value).is_file()
            for extra in re.findall(r"(?<=\.\[)\w+", " ".join(rest)):
                assert re.search(rf"^{extra} = ", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
        case ["sphinx-build", "-W", source, _]:
            assert (ROOT / source / "conf.py").is_file()
        case _:
            pytest.fail(f"{shlex.join(words)} cannot be checked; mark its block as not run, with the reason")


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\((?!http)([^)#]+)", page.read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_readme_is_one_screen_and_names_every_page():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    inner = {"index.md", "xla_aliasing.md"}
    assert [
        page for page in (ROOT / "docs").glob("*.md") if f"docs/{page.name}" not in text and page.name not in inner
    ] == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Sphinx and its extensions disagree about deprecated names.
def test_the_site_builds_without_warnings(tmp_path):
    pytest.importorskip("sphinx_book_theme", reason="needs requirements-docs.txt")
    sphinx = pytest.importorskip("sphinx.cmd.build")
    assert sphinx.main(["-q", "-W", str(ROOT / "docs"), str(tmp_path)]) == 0
