"""Program: a training run that kills its own process during step 5.

`python -m tests.support.processes.killed_run WORKDIR`
"""

import os
import pathlib
import signal
import sys

from tests.support.train import tiny_run


def _kill(progress):
  if progress.step == 4:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
  tiny_run.run(
    tiny_run.dataset(),
    pathlib.Path(sys.argv[1]),
    model=tiny_run.WITH_DROPOUT,
    on_progress=_kill,
  )
