"""Event files of TensorBoard, written by the calling thread.

tensorboardX's SummaryWriter has a thread and a queue: an error of the disk ends the thread, and once the queue is full
the run waits for ever.
"""

import os
import time
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2
from tensorboardX.summary import scalar

_proto: Any = event_pb2
_SECONDS = 10.0
"""Time between two writes to the disk."""


class Events:
    """A new event file in a directory."""

    def __init__(self, directory: Path, start: int):
        """Tells TensorBoard to forget what earlier files have after step `start`."""
        self._writer = EventsWriter(str(directory / "events"), f".{os.getpid()}")
        self._written = time.monotonic()
        self._write(_proto.Event(session_log=_proto.SessionLog(status=_proto.SessionLog.START)), start + 1)

    def write(self, name: str, value: float, step: int) -> None:
        """Records the value of a step. Raises OSError if the disk takes no more."""
        self._write(_proto.Event(summary=scalar(name, value)), step)
        if time.monotonic() > self._written + _SECONDS:
            self._writer.flush()
            self._written = time.monotonic()

    def close(self) -> None:
        """Writes the rest, and closes the file."""
        self._writer.close()

    def _write(self, event: Any, step: int) -> None:
        event.wall_time, event.step = time.time(), step
        self._writer.write_event(event)
