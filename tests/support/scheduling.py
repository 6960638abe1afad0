"""Spreading of tests over the workers of pytest-xdist."""

import functools

from xdist import scheduler

from tests.support import paths


class ByModuleFixtures(scheduler.LoadScopeScheduling):
  """Sends all tests of a file with module fixtures to one worker.

  Otherwise every worker with a test of the file would make its fixtures, many
  of which train a model or start scripts. Tests of other files go anywhere.
  """

  def _split_scope(self, nodeid):
    file = nodeid.partition("::")[0]
    return file if _has_module_fixtures(file) else nodeid


@functools.cache
def _has_module_fixtures(file):
  return 'scope="module"' in (paths.ROOT / file).read_text()
