"""Money and times of the simulator, against Python's integers."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from mars_jax import types
from mars_jax.sim import clock
from mars_jax.sim import money

pytestmark = pytest.mark.usefixtures("quick_compilation")

_MOST = 2**31 - 1
_SECOND = types.NANOSECONDS
_EDGES = (0, 1, 2, 65535, 65536, 65537, 2**30, _MOST - 1, _MOST)
_INT32 = np.array([*_EDGES, *(-x for x in _EDGES), -(2**31)], np.int32)
_MOMENTS = st.integers(0, clock.NEVER * _SECOND)
_FEW = hypothesis.settings(deadline=None, max_examples=200)


def _amount(value):
  """The limbs of a Python integer, by its definition."""
  limbs = [(value >> (16 * i)) % 2**16 for i in range(3)]
  return [*limbs, value >> 48]


def _moment(nanoseconds):
  return types.Timestamp(*map(np.int32, divmod(nanoseconds, _SECOND)))


def _nanoseconds(moment):
  assert 0 <= int(moment.nanoseconds) < _SECOND
  return int(moment.seconds) * _SECOND + int(moment.nanoseconds)


_add, _first, _is_before, _earlier, _later, _between, _add_seconds = map(
  jax.jit,
  (
    clock.add_parts,
    clock.first,
    clock.is_before,
    clock.earlier,
    clock.later,
    clock.seconds_between,
    clock.add_seconds,
  ),
)


class TestMoney:
  def test_products_are_exact_for_any_prices_and_volumes(self):
    rng = np.random.default_rng(0)
    size = 2000
    bits = rng.integers(1, 32, (2, size))
    prices, volumes = rng.integers(-(2**31), 2**31, (2, size)) >> bits
    edges = np.stack(np.meshgrid(_INT32, _INT32)).reshape(2, -1)
    prices = np.concatenate([prices, edges[0]]).astype(np.int32)
    volumes = np.concatenate([volumes, edges[1]]).astype(np.int32)
    found = jax.jit(money.product)(prices, volumes)
    expected = [int(p) * int(v) for p, v in zip(prices, volumes, strict=True)]
    np.testing.assert_array_equal(found, [_amount(v) for v in expected])
    assert money.to_int(found).tolist() == expected

  def test_sums_of_many_amounts_are_exact_after_one_carry(self):
    rng = np.random.default_rng(1)
    num = 2**15  # As many as the docstring allows.
    values = rng.integers(-(2**46), 2**46, num).tolist()
    values[:2] = 2**47, -(2**47)
    limbs = jnp.array([_amount(v) for v in values], jnp.int32)
    found = jax.jit(lambda x: money.carry(x.sum(axis=0)))(limbs)
    assert found.tolist() == _amount(sum(values))
    extreme = jnp.array([[65535] * 3 + [0]] * num, jnp.int32)
    found = jax.jit(lambda x: money.carry(x.sum(axis=0)))(extreme)
    assert found.tolist() == _amount((2**48 - 1) * num)
    negative = jax.jit(lambda x: money.carry(-x.sum(axis=0)))(extreme)
    assert negative.tolist() == _amount(-(2**48 - 1) * num)


class TestClock:
  @_FEW
  @hypothesis.given(_MOMENTS, st.integers(-(2**30) * _SECOND, 2**30 * _SECOND))
  def test_adding_is_that_of_integers(self, moment, delay):
    hypothesis.assume(abs(delay) < 2**30 * _SECOND)
    parts = map(np.int32, divmod(delay, _SECOND))
    assert _nanoseconds(_add(_moment(moment), *parts)) == moment + delay

  def test_adding_a_python_integer_is_the_same(self):
    # Not compiled once for each.
    for moment in (0, 1, _SECOND - 1, clock.NEVER * _SECOND):
      for delay in (0, 1, -1, _SECOND, 10**18, 2**30 * _SECOND - 1, -(10**17)):
        found = _nanoseconds(clock.add(_moment(moment), delay))
        assert found == moment + delay

  @_FEW
  @hypothesis.given(_MOMENTS, _MOMENTS, st.booleans())
  def test_order_is_that_of_integers(self, a, b, is_same_second):
    if is_same_second:
      b = a // _SECOND * _SECOND + b % _SECOND
    one, other = _moment(a), _moment(b)
    assert bool(_is_before(one, other)) == (a < b)
    assert _nanoseconds(_earlier(one, other)) == min(a, b)
    assert _nanoseconds(_later(one, other)) == max(a, b)
    np.testing.assert_allclose(
      _between(one, other), (b - a) / _SECOND, rtol=3e-7, atol=3e-7
    )

  @_FEW
  @hypothesis.given(
    st.lists(st.integers(0, 5), min_size=8, max_size=8), st.booleans()
  )
  def test_first_is_the_earliest_and_of_ties_the_first(self, times, are_far):
    scale = _SECOND // 3 if not are_far else clock.NEVER * _SECOND // 5
    times = [time * scale for time in times]
    columns = zip(*(divmod(time, _SECOND) for time in times), strict=True)
    moments = types.Timestamp(*(np.array(x, np.int32) for x in columns))
    index, moment = _first(moments)
    assert int(index) == times.index(min(times))
    assert _nanoseconds(moment) == min(times)

  def test_float_seconds_are_added_to_their_precision(self):
    rng = np.random.default_rng(3)
    seconds = 10.0 ** rng.uniform(-9, 9, 500)
    edges = [0.0, 1.0, np.nextafter(np.float32(1), 0), 2.0**24, 1e30, np.inf]
    for delay in np.float32([*seconds, *edges]):
      moment = 86_399 * _SECOND + 999_999_999
      found = _nanoseconds(_add_seconds(_moment(moment), delay)) - moment
      expected = min(float(delay), clock.NEVER) * _SECOND
      assert abs(found - expected) <= 1e-7 * expected + 1

  def test_nothing_comes_after_never_but_delays(self):
    late = clock.add(clock.never(), 2**30 * _SECOND - 1)
    assert bool(clock.is_before(clock.never(), late))
    assert clock.never((2, 3)).seconds.shape == (2, 3)
