"""Examples from the records of a TFDS dataset, each a `tf.train.Example`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tensorflow_datasets.proto import tf_example_pb2

_proto: Any = tf_example_pb2
_TEXTS = "file_name", "id", "fault"
_LARGE = 2**14
"""Bytes from which records are read one by one: half the time of array_record's reader; thrice as much if small."""


@dataclass(frozen=True)
class Records:
    """The source of a split, from records of bytes. TFDS itself would copy each image twice more."""

    records: Any
    """Data source of records, for one key or for several."""

    def __len__(self) -> int:
        return len(self.records)

    def __getitems__(self, keys: Sequence[int]) -> Sequence[dict[str, Any]]:
        if not keys:
            return []
        first, others = self.records[keys[0]], keys[1:]
        is_large = len(first) >= _LARGE
        rest = [self.records[key] for key in others] if is_large else self.records.__getitems__(others)
        return [_parse(record) for record in (first, *rest)]


def _parse(record: bytes) -> dict[str, Any]:
    features = _proto.Example.FromString(record).features.feature
    example = {"image": features["image"].bytes_list.value[0], "label": features["label"].int64_list.value[0]}
    found = {name: features[name] for name in _TEXTS if name in features}
    texts = {name: feature.bytes_list.value or feature.int64_list.value for name, feature in found.items()}
    return example | {name: values[0] for name, values in texts.items() if len(values) == 1}
