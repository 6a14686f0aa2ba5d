"""`launch.py list`: prints the networks and the experiments."""

import ast
from collections.abc import Callable

from senet_jax import create_model, list_models
from senet_jax.analysis.parameters import count_parameters
from senet_jax.commands.command_line import Request
from senet_jax.commands.config_files import EXPERIMENTS


def prepare(request: Request) -> Callable[[], None]:
    """Nothing can be wrong with it."""
    del request
    return _run


def _run() -> None:
    print("networks (--config.model.name)                parameters")
    for name in list_models():
        classes, size = (10, 32) if name.endswith("_cifar") else (1000, 224)
        count = count_parameters(create_model(name, classes), size)
        print(f"  {name:<24} {count:>30,}", flush=True)
    print("\nexperiments (--config)")
    for path in sorted(EXPERIMENTS.rglob("*.py")):
        summary = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
        print(f"  {path.relative_to(EXPERIMENTS.parent)!s:<38} {summary}")
