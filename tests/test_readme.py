"""`benchmarks.readme`."""

import pytest

from benchmarks import readme


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The README of a checkout, with a table that differs from its file."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results/parity.csv").write_text("network,logits\nsenet154,1e-06\n")
    (tmp_path / "README.md").write_text("before\n<!-- parity -->\n| old |\n<!-- end -->\nafter <!-- other -->\n")
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    monkeypatch.setattr(readme, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(readme, "_TABLES", {"parity": readme._TABLES["parity"]})
    return tmp_path / "README.md"


def test_check_refuses_a_table_that_differs_and_changes_nothing(page):
    before = page.read_text()
    with pytest.raises(SystemExit, match=r"tables differ from experiments/results in README.md; run python -m"):
        readme.main(["--check"])
    assert page.read_text() == before


def test_a_table_that_differs_is_written_and_no_other_text(page, capsys):
    readme.main([])
    table = "| network | logits |\n| --- | --- |\n| senet154 | 1e-06 |"
    assert page.read_text() == f"before\n<!-- parity -->\n\n{table}\n\n<!-- end -->\nafter <!-- other -->\n"
    assert capsys.readouterr().out == "written: README.md\n"
    readme.main(["--check"])
