import jax
import pytest
from absl import flags

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 4)


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")
    parser.addoption("--parity", action="store_true", help="compare the large networks with their peers too")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--parity"):
        large = [item for item in items if item.get_closest_marker("parity")]
        items[:] = [item for item in items if item not in large]
        config.hook.pytest_deselected(items=large)


@pytest.fixture(autouse=True, scope="session")
def _parsed_flags():
    flags.FLAGS.mark_as_parsed()


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield
