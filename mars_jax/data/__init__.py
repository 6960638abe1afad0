"""Data sets: from orders of replayed days to batches.

`prepare_days` replays days, proves them and writes their orders;
`build_dataset` makes a data set of them. `from_folder` opens one, `from_day`
makes one of a single day in memory. `pipeline` draws batches of `windows`;
`manifest` says what is in a data set, `store` reads the orders of a day. Import
these as modules.
"""

from mars_jax.data.build import SplitConfig
from mars_jax.data.build import build_dataset
from mars_jax.data.dataset import DataConfig
from mars_jax.data.dataset import Dataset
from mars_jax.data.dataset import from_day
from mars_jax.data.dataset import from_folder
from mars_jax.data.day_report import DayReport
from mars_jax.data.jobs import Job
from mars_jax.data.jobs import find_jobs
from mars_jax.data.pipeline import BatchConfig
from mars_jax.data.prepare import PrepareConfig
from mars_jax.data.prepare import prepare_day
from mars_jax.data.prepare import prepare_days

__all__ = (
  "BatchConfig",
  "DataConfig",
  "Dataset",
  "DayReport",
  "Job",
  "PrepareConfig",
  "SplitConfig",
  "build_dataset",
  "find_jobs",
  "from_day",
  "from_folder",
  "prepare_day",
  "prepare_days",
)
