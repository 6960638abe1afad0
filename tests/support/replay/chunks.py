"""The sizes of chunks that tests replay in."""

import contextlib

import pytest

from mars_jax.replay import engine


@contextlib.contextmanager
def small():
  """Has replays take 512 events at once, which short ones are padded to."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(engine, "CHUNK", 512)
    yield
