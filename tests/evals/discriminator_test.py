"""The network that tells real from generated messages."""

import dataclasses

import numpy as np
import pytest

from mars_jax.evals import discriminator
from tests.support.evals import made_up_messages

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_inputs_are_signed_logarithms_of_changes_prices_and_sizes():
  m = made_up_messages.make(0, 230)
  x = discriminator.inputs(m)
  assert x.shape == (2, discriminator.LENGTH, 3)
  row = x.reshape(-1, 3)[17]
  mid = m.book.price[:, :, 0].mean(axis=1)
  wanted = [mid[17] - mid[16], m.price[17] - mid[17], m.size[17]]
  wanted[2] *= 1 if m.kind[17] == 1 else -1
  np.testing.assert_allclose(
    row, np.sign(wanted) * np.log1p(np.abs(wanted)), rtol=1e-5
  )


@pytest.mark.slow
def test_it_tells_other_sizes_apart_and_the_same_messages_not():
  real = [made_up_messages.make(seed, 100) for seed in range(16)]
  other = [made_up_messages.make(50 + seed, 100) for seed in range(16)]
  larger = [dataclasses.replace(m, size=30 * m.size) for m in other]
  found = discriminator.auc(real, larger, seeds=1, epochs=6)
  assert found[0] > 0.9
  null = discriminator.auc(real, real, seeds=1, epochs=2)
  assert null[0] == 0.5  # The same messages on both sides.


def test_too_few_sequences_are_an_error():
  few = [made_up_messages.make(0, 120)] * 3
  with pytest.raises(ValueError, match="3 real and 3 generated .* 8 or more"):
    discriminator.auc(few, few)


def test_ranks_give_the_area_under_the_curve():
  auc = discriminator._rank_auc
  assert auc(np.array([1.0, 2, 3, 4]), np.array([0, 0, 1, 1])) == 1
  assert auc(np.array([4.0, 3, 2, 1]), np.array([0, 0, 1, 1])) == 0
  assert auc(np.array([1.0, 1, 1, 1]), np.array([0, 0, 1, 1])) == 0.5
