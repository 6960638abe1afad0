"""Replays of real days, and what none of them may show."""

import dataclasses

from mars_jax import replay
from mars_jax.feeds import registry
from mars_jax.lob import venues


def replayed(path, **options):
  """Returns the stream of a path, and its verification."""
  stream, checks = registry.read_checked(path, **options)
  venue = dataclasses.replace(venues.PRESETS[stream.rules], lot=1)
  return stream, replay.verify(stream, checks, rules=venue)


def assert_exact(result, **checked):
  """Asserts that nothing differs or is lost, and all was compared."""
  assert not result.mismatches, result.examples
  assert result.checked == checked
  assert result.dropped == 0
  assert not result.rejected
