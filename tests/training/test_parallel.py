from dataclasses import dataclass

import pytest

from senet_jax.planning import topologies
from senet_jax.training.parallel import data_mesh


@dataclass(frozen=True)
class Device:
    """Stands for a GPU of a host."""

    id: int
    process_index: int
    slice_index: int
    platform: str = "gpu"


def test_gpus_of_several_hosts_stand_in_the_order_of_the_parts_of_a_batch():
    devices = [Device(number, process, slice_index=process) for number, process in enumerate((1, 0, 1, 0))]
    assert [device.id for device in data_mesh(devices).devices.flat] == [1, 3, 0, 2]


@pytest.mark.slow
@pytest.mark.parametrize("topology", ["v4:2x2x2", "v5e:4x4"])
def test_tpus_of_several_hosts_stand_in_the_order_of_the_parts_of_a_batch(topology):
    pytest.importorskip("libtpu")
    mesh = data_mesh(topologies.devices(topologies.parse(topology)))
    hosts = [device.process_index for device in mesh.devices.flat]
    assert hosts == sorted(hosts)
    assert len(set(hosts)) > 1
