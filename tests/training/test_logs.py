import errno
import json

import pytest
from tensorboardX.event_file_writer import EventsWriter

from senet_jax.training import events, logs
from senet_jax.training.logs import Logs

VALUES = {"loss": 0.5, "accuracy": 0.875}


def test_records_are_read_back_and_printed_as_plain_lines(tmp_path, capsys):
    writer = Logs(tmp_path, start=0, total=20, steps_per_epoch=8)
    writer.write("train", 4, VALUES | {"images_per_second": 1234.5, "learning_rate": 0.1})
    writer.write("test", 8, VALUES)
    writer.close()
    assert logs.read(tmp_path) == [
        {"split": "train", "step": 4, "epoch": 0.5, "images_per_second": 1234.5, "learning_rate": 0.1} | VALUES,
        {"split": "test", "step": 8, "epoch": 1.0} | VALUES,
    ]
    first, second = capsys.readouterr().out.splitlines()
    assert first == "step  4/20  epoch    0.5  train  loss 0.5000, accuracy  87.50%, 1,234 images/s"
    assert second == "step  8/20  epoch    1.0  test   loss 0.5000, accuracy  87.50%"


def test_a_terminal_keeps_a_line_for_each_evaluation(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    writer = Logs(tmp_path, start=0, total=20, steps_per_epoch=8)
    for _ in range(8):
        writer.advance()
    writer.write("train", 8, VALUES | {"images_per_second": 1234.5})
    writer.write("test", 8, VALUES | {"loss": 0.25})
    writer.close()
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("epoch    1.0  train: loss 0.5000, accuracy  87.50%, 1,234 images/s  test: loss 0.2500, ")
    assert line.endswith(" left")


def test_the_speed_of_a_resumed_run_is_that_of_all_its_steps(tmp_path):
    for start, seconds in ((0, 2.0), (4, 6.0)):
        writer = Logs(tmp_path, start=start, total=8, steps_per_epoch=8)
        writer.write("train", start + 4, VALUES | {"images_per_second": 120 / seconds, "seconds": seconds})
        writer.close()
    assert logs.speed(tmp_path) == {"images_per_second": 30.0, "seconds": 8.0}


def test_a_restart_drops_records_after_its_checkpoint_and_a_line_cut_short(tmp_path):
    writer = Logs(tmp_path, start=0, total=20, steps_per_epoch=8)
    for step in (4, 8, 12):
        writer.write("train", step, VALUES)
    writer.close()
    with (tmp_path / logs.METRICS).open("a") as file:
        file.write(json.dumps({"step": 16})[:-3])
    Logs(tmp_path, start=8, total=20, steps_per_epoch=8).close()
    assert [record["step"] for record in logs.read(tmp_path)] == [4, 8]


def test_tensorboard_reads_the_values(tmp_path):
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    writer = Logs(tmp_path, start=4, total=20, steps_per_epoch=8)
    writer.write("test", 8, VALUES)
    writer.close()
    data = next(tmp_path.glob("events.out.tfevents.*")).read_bytes()
    found, position = [], 0
    while position < len(data):  # A record is its length (8 bytes), a checksum (4), the event, a checksum (4).
        length = int.from_bytes(data[position : position + 8], "little")
        found.append(Event.FromString(data[position + 12 : position + 12 + length]))
        position += length + 16
    values = {value.tag: (event.step, value.simple_value) for event in found for value in event.summary.value}
    assert values == {"test/loss": (8, 0.5), "test/accuracy": (8, 0.875)}
    assert [event.step for event in found if event.session_log.status == SessionLog.START] == [5]  # Later ones go.


def test_a_disk_that_takes_no_events_is_an_error_and_nothing_waits(tmp_path, monkeypatch):
    def full(self):
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = Logs(tmp_path, start=0, total=20, steps_per_epoch=8)
    with monkeypatch.context() as patch:
        patch.setattr(EventsWriter, "flush", full)
        patch.setattr(events, "_SECONDS", 0.0)
        for step in range(20):
            with pytest.raises(OSError, match="No space left"):
                writer.write("train", step, VALUES)
    writer.close()
