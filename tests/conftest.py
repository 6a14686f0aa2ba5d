import gc
import math
import os

import jax
import jaxtyping
import pytest
from absl import flags
from compilation import make_quick

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 4)


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")
    parser.addoption("--parity", action="store_true", help="compare the large networks with their peers too")


def pytest_configure(config):
    """Shares compiled programs among workers, runs and the processes that tests start; --cache-clear removes them."""
    directory = str(config.cache.mkdir("jax"))
    jax.config.update("jax_compilation_cache_dir", directory)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = directory
    make_quick()
    jax.config.update("jax_disable_most_optimizations", True)  # While tests are collected too.


def pytest_collection_modifyitems(config, items):
    """Starts with the slow tests, so that no worker ends long after the others."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    if not config.getoption("--parity"):
        large = [item for item in items if item.get_closest_marker("parity")]
        items[:] = [item for item in items if item not in large]
        config.hook.pytest_deselected(items=large)


def pytest_collection_finish():
    """Leaves all imported objects out of garbage collection, a sixth of the time of tests that trace."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


@pytest.fixture(autouse=True, scope="session")
def _parsed_flags():
    flags.FLAGS.mark_as_parsed()


@pytest.fixture(autouse=True)
def _silent_progress(monkeypatch):
    """Messages of commands do not depend on the speed of the machine."""
    monkeypatch.setattr("senet_jax.terminal.progress._FIRST", 3600.0)


@pytest.fixture(autouse=True)
def _cheap_compilation(request):
    """Compiles with few optimisations; tests marked `optimised` compile as users do, and anew in each run."""
    optimised = request.node.get_closest_marker("optimised") is not None
    jax.config.update("jax_disable_most_optimizations", not optimised)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", math.inf if optimised else 0.3)


@pytest.fixture
def short_networks(monkeypatch):
    """Gives the networks of CIFAR that runs and files name one block in each stage."""
    from senet_jax.training import plan
    from senet_jax.weights import source

    build = source.build_model
    for module in (plan, source):
        monkeypatch.setattr(
            module, "build_model", lambda *args, **others: build(*args, **others).clone(stage_sizes=(1,) * 3)
        )


@pytest.fixture
def unchecked_types():
    """Leaves annotations unchecked, as users have it: for messages about wrong types, or to trace in two thirds."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield
