from pathlib import Path

import jax
import pytest

from senet_jax.ops import onednn
from senet_jax.training.compilation import keep_programs


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """JAX's settings without a cache, which are restored."""
    names = ("jax_compilation_cache_dir", "jax_compilation_cache_max_size", "jax_enable_compilation_cache")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_programs_are_kept_in_the_users_folder_and_bounded(settings, monkeypatch, tmp_path):
    monkeypatch.setattr(onednn, "serves", lambda dtype: False)
    assert keep_programs() == tmp_path / "senet_jax"
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "senet_jax")
    assert 0 < jax.config.jax_compilation_cache_max_size < 2**33


def test_programs_are_not_kept_with_onednn_or_by_settings_of_jax(settings, monkeypatch):
    monkeypatch.setattr(onednn, "serves", lambda dtype: True)
    assert keep_programs() is None
    monkeypatch.setattr(onednn, "serves", lambda dtype: False)
    jax.config.update("jax_enable_compilation_cache", False)
    assert keep_programs() is None
    jax.config.update("jax_enable_compilation_cache", True)
    jax.config.update("jax_compilation_cache_dir", "elsewhere")
    assert keep_programs(Path("here")) is None
    assert jax.config.jax_compilation_cache_dir == "elsewhere"
