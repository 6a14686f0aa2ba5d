"""`launch.py --help`."""

import pytest

from senet_jax.commands.command_line import COMMANDS, main
from senet_jax.config import Experiment
from senet_jax.schema import documentation, field_types


@pytest.mark.parametrize("words", ["--help", "-h", "eval --help", "list --help --config.batch_size=8"])
def test_help(words, capsys):
    main(words.split())
    text = capsys.readouterr().out
    assert text.startswith(f"usage: launch.py [{'|'.join(COMMANDS)}] [--config=FILE]")
    assert all(f"\n  {name}=" in text for name in field_types(Experiment))
    assert all(name in text for name in COMMANDS)
    assert all(f"\n  --{flag}=" in text for options in COMMANDS.values() for flag in field_types(options))
    assert all(documentation(kind)[name] for kind in (Experiment, *COMMANDS.values()) for name in field_types(kind))
    assert "\n  predict IMAGES... " in text
    assert "Reduction ratio of the squeeze-and-excitation blocks" in text
    assert ("batch_size=8 " in text) == ("=8" in words)
