"""The module `zstd`: Python's from 3.14 on, else the backport."""

import sys

if sys.version_info >= (3, 14):
  from compression import zstd
else:
  from backports import zstd

__all__ = ["zstd"]
