"""Released weights become a model file that says what it is."""

import convert_bins_test
import convert_test
import jax
import numpy as np
import pytest
import scripts

from mars_jax import lmm
from mars_jax.lmm import convert
from mars_jax.lmm import convert_bins

# The files that these tests read are written by fixtures of the tests of the
# modules, in the same folder.
write = convert_test.write
module = convert_bins_test.module
folder = convert_bins_test.folder


@pytest.fixture
def result(write, folder):
  """The script's run; what is written lies in the folder."""
  return scripts.run(
    *("convert_weights", f"--weights={write('2m')}", f"--converters={folder}"),
    *("--window=64", f"--out={folder}/out/model.npz", "--market=X"),
  )


def test_the_file_has_the_weights_the_bins_and_where_they_are_from(
  result, folder
):
  assert result.returncode == 0, result.stderr
  model = lmm.load(folder / "out" / "model.npz")
  path = folder / "model.safetensors"
  wanted = convert.load(path, window=64)
  assert model.config == wanted.config
  jax.tree.map(np.testing.assert_array_equal, model.params, wanted.params)
  bins, num_rounded = convert_bins.load_tokenizer(folder)
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
