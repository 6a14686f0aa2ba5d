from pathlib import Path

import pytest

from senet_jax.commands.places import check_output_directory, check_output_file


@pytest.mark.parametrize(
    ("check", "output"), [(check_output_directory, "/proc/none/report"), (check_output_file, "/proc/predictions.csv")]
)
def test_a_place_that_cannot_be_written_is_refused(check, output):
    with pytest.raises(ValueError, match=f"--output={output} cannot be written: .*; give another directory"):
        check(Path(output))
