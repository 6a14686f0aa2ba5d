import subprocess

from senet_jax.training import provenance


def test_a_package_in_the_checkout_of_another_project_does_not_name_its_commit(tmp_path, monkeypatch):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=b"]
    for words in (["init"], ["commit", "--allow-empty", "--message=first"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    package = tmp_path / "site-packages" / "provenance.py"
    package.parent.mkdir()
    package.touch()
    monkeypatch.setattr(provenance, "__file__", str(package))
    assert provenance.provenance()["commit"] == "unknown"
