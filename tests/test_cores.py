"""Parts of the CPU cores, for processes side by side."""

import os

import pytest

from senet_jax import cores

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux keeps processes to cores")


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_parts_have_each_core_once_and_are_equal_within_one(parts, monkeypatch):
    kept = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 2, 4, 5, 9})
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, own: kept.append(own))
    for part in range(parts):
        cores.keep_to_part(part, parts)
    assert sorted(core for own in kept for core in own) == [1, 2, 4, 5, 9]
    assert max(map(len, kept)) - min(map(len, kept)) <= 1


def test_more_parts_than_cores_share_them_all(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, own: pytest.fail(f"kept to {own}"))
    cores.keep_to_part(1, 2)


def test_the_cores_of_this_process():
    own = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(own)})
        assert cores.usable() == 1
    finally:
        os.sched_setaffinity(0, own)
