import json
import sys
from pathlib import Path

import pytest

from senet_jax import workdir as workdirs
from senet_jax.config import Experiment, ModelConfig
from senet_jax.schema import to_dict

FILES = {
    "large.py": "def get_config(size='32'):\n    return Experiment(batch_size=int(size), model=ModelConfig(ratio=4.0))",
    "empty.py": "x = 1",
    "misnamed.py": "def getconfig(): ...",
    "syntax.py": "def get_config(:\n    pass",
    "keyword.py": "def get_config():\n    return Experiment(model=ModelConfig(ratoi=8))",
    "attribute.py": "def get_config():\n    config = Experiment()\n    config.data.flpi = True\n    return config",
    "dictionary.py": "def get_config(): return {'batch_size': 8}",
    "nothing.py": "def get_config(): pass",
    "key.py": "def get_config():\n    return {}['batch_size']",
    "value.py": "def get_config():\n    return Experiment(batch_size=int('many'))",
    "missing.py": "def get_config():\n    return open('absent.txt')",
    "importing.py": "import absent_module",
    "impossible.py": "def get_config(): return Experiment(duration='0 epochs')",
    "wrong_type.py": "def get_config():\n    config = Experiment()\n    config.batch_size = 'many'\n    return config",
}


@pytest.fixture(autouse=True)
def _called_as_launch_py(monkeypatch):
    """Messages name the program that was called."""
    monkeypatch.setattr(sys, "argv", ["launch.py"])


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """A working directory with configuration files and the workdirs of some runs."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(f"from senet_jax.config import Experiment, ModelConfig\n{text}\n")
    contents = {
        "good": json.dumps(to_dict(Experiment(seed=7, model=ModelConfig(ratio=8.0)))),
        "torn": '{"seed":',
        "older": '{"optimiser": {}}',
    }
    for name, text in contents.items():
        workdir = Path("runs", name)
        workdir.mkdir(parents=True)
        (workdir / workdirs.CONFIG).write_text(text)
    Path("runs/empty").mkdir()
    return tmp_path
