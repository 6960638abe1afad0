"""Checks of arguments and configs, with clear errors."""

import collections.abc
from typing import Any


def one_of(name: str, value: Any, choices: collections.abc.Iterable) -> None:
  """Raises ValueError unless a value is one of the choices.

  Args:
    name: of the value, for the error.
    value: what was given.
    choices: what may be given.
  """
  choices = tuple(choices)
  if value not in choices:
    raise ValueError(
      f"{name} = {value!r} is none of {', '.join(map(str, choices))}"
    )


def at_least(low: float, **values: float) -> None:
  """Raises ValueError unless all values are at least `low`.

  Args:
    low: the smallest value allowed.
    **values: by their names, for the error.
  """
  for name, value in values.items():
    if not value >= low:
      raise ValueError(f"{name} = {value} must be >= {low}")
