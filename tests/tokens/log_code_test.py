"""The code of integers: nothing is lost near 0, little far away."""

import jax.numpy as jnp
import numpy as np
import pytest

from mars_jax.tokens import log_code

_BITS = 24
_VALUES = np.unique(
  np.concatenate(
    [
      np.arange(5000),
      2 ** np.arange(_BITS),
      2 ** np.arange(1, _BITS + 1) - 1,
      np.geomspace(5000, 2**_BITS - 1, 5000).astype(int),
    ]
  )
).astype(np.int32)


def _round_trip(uniform):
  bucket, place = log_code.encode(_VALUES, num_bits=_BITS)
  return np.asarray(log_code.decode(bucket, place, jnp.float32(uniform)))


@pytest.mark.parametrize("uniform", [0.0, 0.5, 0.999])
def test_below_512_it_is_exact_and_beyond_to_a_share_of_1_in_128(uniform):
  found = _round_trip(uniform)
  is_near = _VALUES < 512
  np.testing.assert_array_equal(found[is_near], _VALUES[is_near])
  share = np.abs(found - _VALUES)[~is_near] / _VALUES[~is_near]
  assert share.max() < 1 / 128


def test_what_is_decoded_has_the_same_symbols():
  symbols = log_code.encode(_VALUES, num_bits=_BITS)
  again = log_code.encode(_round_trip(0.7), num_bits=_BITS)
  np.testing.assert_array_equal(symbols, again)


def test_symbols_ascend_without_gaps():
  bucket, place = log_code.encode(_VALUES, num_bits=_BITS)
  assert set(bucket.tolist()) == set(range(log_code.num_buckets(_BITS)))
  assert place.max() == log_code.NUM_PLACES - 1
  joint = np.asarray(bucket) * log_code.NUM_PLACES + np.asarray(place)
  assert (np.diff(joint) >= 0).all()


def test_as_many_values_share_a_symbol_as_it_says():
  values = np.arange(2**13, dtype=np.int32)
  bucket, place = (np.asarray(x) for x in log_code.encode(values, num_bits=13))
  joint = bucket * log_code.NUM_PLACES + place
  counts = np.bincount(joint)[joint]
  np.testing.assert_array_equal(log_code.num_values(bucket), counts)


def test_what_is_too_large_counts_as_the_largest():
  largest = log_code.encode(jnp.int32(2**12 - 1), num_bits=12)
  assert log_code.encode(jnp.int32(2**20), num_bits=12) == largest


def test_a_bucket_alone_decodes_to_any_of_its_values():
  bucket, _ = log_code.encode(jnp.int32(1000), num_bits=12)
  uniforms = jnp.linspace(0, 0.9999, 257, dtype=jnp.float32)
  found = np.asarray(log_code.decode_bucket(bucket, uniforms))
  assert (found.min(), found.max()) == (896, 1023)
