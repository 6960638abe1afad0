"""Released weights become a model file that says what it is."""

import jax
import numpy as np
import pytest

from mars_jax import lmm
from mars_jax.lmm.released import bins as bins_lib
from mars_jax.lmm.released import weights
from tests.support.processes import scripts
from tests.support.train import released_files


def test_the_file_has_the_weights_the_bins_and_where_they_are_from(tmp_path):
  path = released_files.write_weights(tmp_path)
  released_files.write_converters(tmp_path)
  result = scripts.run(
    *("convert_weights", f"--weights={path}", f"--converters={tmp_path}"),
    *("--window=64", f"--out={tmp_path}/out/model.npz", "--market=X"),
  )
  assert result.returncode == 0, result.stderr
  model = lmm.load(tmp_path / "out" / "model.npz")
  wanted = weights.load(path, window=64)
  assert model.config == wanted.config
  jax.tree.map(np.testing.assert_array_equal, model.params, wanted.params)
  bins, num_rounded = bins_lib.load_tokenizer(tmp_path)
  assert model.tokenizers.keys() == {"X"}
  assert model.tokenizer("X").scheme == "ticks"
  jax.tree.map(np.testing.assert_array_equal, model.tokenizer("X"), bins)
  card = model.card
  assert card["licence"] == "MIT"
  assert card["data"].startswith("X,")  # As launch/forecast.py looks it up.
  assert card["source"]["weights"] == "model.safetensors"
  assert card["values_rounded"] == num_rounded
  unused = sum(np.prod(shape) for shape in card["unused_tensors"].values())
  assert card["parameters"] + unused == card["source_parameters"] == 2_524_624
  for text in (
    "2,524,624",
    f"{card['parameters']:,}",
    "2 of 8 dimensions",
    "linear_head.1.weight",
    "49152 x 16",
    "64 orders",
    "values of interval rounded or cut",
  ):
    assert text in result.stdout, text


@pytest.mark.parametrize(
  "arguments, message",
  [
    ((), "Give either --weights or --size."),
    (("--size=3m",), "value should be one of <2m|5m|10m>"),
  ],
)
def test_what_a_user_can_mend_is_one_line(arguments, message):
  result = scripts.run("convert_weights", *arguments)
  assert result.returncode == 1
  assert result.stderr.startswith("error: ")
  assert message in result.stderr
  assert len(result.stderr.splitlines()) == 1
