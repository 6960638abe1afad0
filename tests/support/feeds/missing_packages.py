"""Readers without the packages that they need."""

import sys


def uninstall(monkeypatch, package: str, feed: str) -> None:
  """Hides a package from the reader of a feed."""
  monkeypatch.setitem(sys.modules, package, None)
  folder = f"mars_jax.feeds.{feed}."
  for name in [name for name in sys.modules if name.startswith(folder)]:
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(name)
