"""The script that scores futures, as its user runs it."""

import pytest

from tests.support.processes import scripts


@pytest.mark.slow
def test_what_a_user_can_mend_is_one_line(tmp_path):
  results = scripts.run_all(
    [
      ("evaluate", "--data=synthetic-0", f"--out={tmp_path / 'a'}"),
      (
        *("evaluate", "--data=synthetic-0", "--test_from=noon"),
        f"--out={tmp_path / 'b'}",
      ),
    ]
  )
  for result, message in zip(
    results, ("--test_from must say", "is no time like 14:30:00"), strict=True
  ):
    assert result.returncode == 1
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ") and message in line
