"""Axes of structs for `jax.vmap`."""

import dataclasses
from typing import Any
from typing import TypeVar

T = TypeVar("T")


def of(struct: type[T], default: Any, **exceptions: Any) -> T:
  """Returns a struct of `jax.vmap` axes, one for each field.

  Args:
    struct: a dataclass.
    default: the axis of all fields but the exceptions.
    **exceptions: the axis of a field, by its name: a number, None, or a struct.
  """
  names = {field.name for field in dataclasses.fields(struct)}
  if not exceptions.keys() <= names:
    raise TypeError(f"{struct.__name__} has no {exceptions.keys() - names}")
  return struct(**{name: exceptions.get(name, default) for name in names})
