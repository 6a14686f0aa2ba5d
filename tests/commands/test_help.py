"""`launch.py --help`."""

import pytest

from senet_jax.commands.command_line import COMMANDS, main
from senet_jax.config import Experiment
from senet_jax.schema import documentation, field_types


@pytest.mark.parametrize("words", ["--help", "-h", "--help --config.batch_size=8"])
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


@pytest.mark.parametrize(
    ("command", "flags", "others"),
    [
        ("predict", ("predict IMAGES...", "--top=", "--help"), ("--config", "--workdir", "--subset", "batch_size=")),
        ("report", ("--workdir=", "--help"), ("--config", "--top=", "batch_size=")),
        ("eval", ("--config=FILE", "--workdir=", "--subset", "batch_size="), ("--top=", "--only=")),
    ],
)
def test_help_of_a_command(command, flags, others, capsys):
    main([command, "-h"])
    text = capsys.readouterr().out
    assert text.startswith(f"usage: launch.py {command} ")
    assert all(f"\n  {flag}" in text for flag in flags)
    assert not any(f"\n  {flag}" in text for flag in others)
