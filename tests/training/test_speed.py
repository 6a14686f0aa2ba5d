import time

import jax.numpy as jnp
import pytest

from senet_jax.training.logs import Logs
from senet_jax.training.speed import Speed


@pytest.fixture
def log(tmp_path):
    log = Logs(tmp_path, start=0, total=10, steps_per_epoch=5)
    yield log
    log.close()


@pytest.mark.parametrize(("seconds_of_data", "shares"), [(0.05, (0.6, 1.0)), (0.0, (0.0, 0.3))])
def test_the_share_of_time_that_the_devices_wait_for_data(log, seconds_of_data, shares):
    def batches():
        while True:
            time.sleep(seconds_of_data)
            yield 1

    speed, made = Speed(log), batches()
    for step in range(6):
        with speed.measure(4, compiles=step == 0):
            assert speed.next(made) == 1
            if not seconds_of_data:
                time.sleep(0.01)
            speed.dispatched(jnp.array(step))
    taken = speed.take()
    assert shares[0] <= taken["data_wait"] <= shares[1]
    assert taken["images_per_second"] == pytest.approx(20 / taken["seconds"])
    assert speed.take() == {}
    speed.close()


def test_a_wait_of_more_than_a_twentieth_is_printed(log, capsys):
    values = {"loss": 1.0, "accuracy": 0.5, "images_per_second": 100.0, "seconds": 1.0}
    for share in (0.04, 0.06):
        log.write("train", 1, values | {"data_wait": share})
    first, second = capsys.readouterr().out.splitlines()
    assert "waiting" not in first
    assert second.endswith("100 images/s, 6% of the time waiting for data")
