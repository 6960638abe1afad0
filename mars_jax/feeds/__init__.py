"""Readers of market data, and the events that they return.

`read` takes a file of any supported feed and returns its `EventStream`;
`read_checked` also returns the `GroundTruth`, the feed's own record of trades,
books and cancels, to check a replay by. No reader knows the matching engine.

Each feed is a folder here: its `__init__.py` says how the feed works and has
the descriptor `FORMAT`, `parse.py` turns bytes into checked columns, and
`reader.py` turns these into events. All folders are registered by this module;
docs/extending.md shows how to add one.
"""

import importlib
import pkgutil

from mars_jax.feeds.events import DataError
from mars_jax.feeds.events import EventStream
from mars_jax.feeds.events import GroundTruth
from mars_jax.feeds.events import Levels
from mars_jax.feeds.events import RestingOrders
from mars_jax.feeds.events import Trades
from mars_jax.feeds.registry import FORMATS
from mars_jax.feeds.registry import SAMPLE
from mars_jax.feeds.registry import Format
from mars_jax.feeds.registry import days
from mars_jax.feeds.registry import find_format
from mars_jax.feeds.registry import instruments
from mars_jax.feeds.registry import read
from mars_jax.feeds.registry import read_checked
from mars_jax.feeds.registry import register
from mars_jax.feeds.registry import split

__all__ = [
  "DataError",
  "EventStream",
  "FORMATS",
  "Format",
  "GroundTruth",
  "Levels",
  "RestingOrders",
  "SAMPLE",
  "Trades",
  "days",
  "find_format",
  "instruments",
  "read",
  "read_checked",
  "register",
  "split",
]

for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
  if _module.ispkg:
    register(importlib.import_module(_module.name).FORMAT)
