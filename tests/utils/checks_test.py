"""Tests of the checks of arguments and configs."""

import pytest

from mars_jax.utils import checks


def test_a_value_that_is_no_choice_is_an_error_that_lists_them():
  checks.one_of("head", "joint", ("joint", "factored"))
  with pytest.raises(ValueError, match="head = 'x' is none of joint, factored"):
    checks.one_of("head", "x", ("joint", "factored"))


@pytest.mark.parametrize("value", [0, -3, float("nan")])
def test_a_value_that_is_too_small_is_an_error_that_names_it(value):
  checks.at_least(1, size=1, count=2)
  with pytest.raises(ValueError, match=f"count = {value} must be >= 1"):
    checks.at_least(1, size=1, count=value)
