"""Outputs are checked before anything is read or computed."""

import pytest

from tests.support import paths
from tests.support.processes import scripts

# {out} cannot be written: it lies below a file. No input exists.
_COMMANDS = {
  "ablation": "--data=nothing --out={out}",
  "benchmark": "lob --plot={out}.png",
  "convert_weights": "--size=2m --out={out}",
  "evaluate": "--data=nothing --test_from=10:00 --out={out}",
  "forecast": "--data=nothing --out={out}",
  "prepare_data": "nothing --out={out}",
  "scaling_law": "--config=configs/scaling.py:tiny --data=nothing --out={out}",
  "simulate": "--config=configs/simulate.py:tiny --out={out}",
  "train": "--config=configs/demo.py:tiny --data=nothing --workdir={out}",
}
_WITHOUT_OUTPUTS = {"evaluate_loss", "replay", "submit"}


@pytest.mark.slow
def test_a_path_below_a_file_is_an_error_in_one_line(tmp_path):
  file = tmp_path / "file"
  file.write_text("")
  commands = {
    script: (script, *arguments.format(out=file / "out").split())
    for script, arguments in _COMMANDS.items()
  }
  results = scripts.run_all(commands.values())
  for script, result in zip(commands, results, strict=True):
    assert result.returncode == 1, script
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ") and "cannot be written" in line, script
    assert "nothing" not in line, script


def test_every_script_is_known():
  found = {path.stem for path in paths.ROOT.glob("launch/*.py")} - {"common"}
  assert found == _COMMANDS.keys() | _WITHOUT_OUTPUTS
