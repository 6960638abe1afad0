"""Simulated events as records, the type of real orders."""

import jax
import numpy as np

from mars_jax import records as records_lib
from mars_jax.sim import state as state_lib
from mars_jax.utils import time_of_day


def to_records(
  events: state_lib.Event, *, start_mid: int
) -> records_lib.Records:
  """Returns the events of one trajectory as records.

  Args:
    events: of one trajectory, leaves `[E, ...]`, from its start; those after
      its end are left out.
    start_mid: ticks, the mid before the first event.
  """
  events = jax.tree.map(np.asarray, events)
  mid_before = np.concatenate([[start_mid], events.mid[:-1]])
  return records_lib.Records(
    time=time_of_day.nanoseconds(events.time),
    order=events.order,
    place=events.place,
    mid_before=mid_before.astype(events.mid.dtype),
    mid_after=events.mid,
    snapshot=events.snapshot,
    depth=events.depth,
    traded=events.report.traded,
  )[events.is_event]
