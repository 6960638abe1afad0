"""Replays of real days, compared with what their exchange published."""

import dataclasses

from mars_jax import replay as replay_lib
from mars_jax.feeds import registry
from mars_jax.utils import progress as progress_lib


def replay(
  data: str,
  *,
  format: str | None = None,
  instrument: str = "",
  day: str = "",
  tick_size: float | None = None,
  rules: str | None = None,
  corrections: bool = True,
  progress: bool = True,
) -> replay_lib.VerifyResult:
  """Replays one day and compares it with its exchange.

  One instrument.

  Args:
    data: a sample's name, or a path of any format of `feeds`.
    format: of the file; found from its name or columns if None.
    instrument: which one of a file of several.
    day: the same.
    tick_size: price of one tick, in the market's currency, where the reader of
      the format takes one; found in the data if None.
    rules: of `lob.PRESETS`, to match by; those of the day's exchange if None.
    corrections: lobster only: put back what the file cannot show, beyond its
      levels.
    progress: whether to show a progress bar.

  Returns:
    What was compared and where it differs; `mismatches` is empty if nowhere.

  Raises:
    FileNotFoundError, events.DataError: if the day cannot be read.
    ValueError: if an argument is invalid.
  """
  options = {"instrument": instrument, "day": day, "tick_size": tick_size}
  options = {name: value for name, value in options.items() if value}
  if not corrections:
    options["corrections"] = False
  stream, truth = registry.read_checked(data, format=format, **options)
  with progress_lib.replay_bar(len(stream), visible=progress) as on_progress:
    result = replay_lib.verify(
      stream,
      truth,
      rules=replay_lib.feed_rules(stream, rules=rules),
      on_progress=on_progress,
    )
  return dataclasses.replace(result, feed=dict(stream.counts))
