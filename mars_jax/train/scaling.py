"""Scaling laws: loss against model size and data seen.

    L(N, D) = E + A N^-alpha + B D^-beta                                     (1)

is fitted by approach 3 of Hoffmann et al. [1]: the law whose logarithm has the
least Huber loss (delta 1e-3) over all runs, found from a grid of starts. Three
things differ. The loss is minimised as a sum, in units of 1e-6: as a mean it
ends too early, which is why the intervals of [1] were off [2]. Variables are
centred, so that the terms at the middle of the runs, not far-off constants, are
what is sought. And with so few unknowns, BFGS keeps all of the Hessian. The
same code fits a law in one variable, with or without a floor. Scales are told
as their logarithms, as they are fitted: where only the smallest size is worse
than the rest, the best exponent is steep, and its scale beyond all floats.

Intervals are percentiles over resamples of the runs. They tell how far the law
hangs on single runs, not what other data or hyper-parameters would give.

What is counted:
  N: all parameters that the model computes with, also tables and head.
    Without the tables, laws of small models bend, and their exponents differ
    from those of large ones [3]. The labels of the paper's models count also
    two blocks that do nothing; `PaperModel.num_live` leaves these out.
  D: orders that were predicted in training. Up to 4 epochs, an order seen again
    is worth nearly as much as a new one [4]; beyond, (1) does not hold.

[1] Training compute-optimal large language models, arXiv:2203.15556.
[2] Besiroglu et al., Chinchilla scaling: a replication attempt,
    arXiv:2404.10102.
[3] Pearce & Song, Reconciling Kaplan and Chinchilla scaling laws,
    arXiv:2406.12907.
[4] Muennighoff et al., Scaling data-constrained language models,
    arXiv:2305.16264.
"""

import collections.abc
import dataclasses
import itertools

import numpy as np
from scipy import optimize

from mars_jax.utils import stats

MAX_EPOCHS = 4  # From [4].
DELTA = 1e-3  # Of the Huber loss, in ln L; from [1].
_UNIT = 1e-6  # In which the loss is minimised: sums are then near 1.
_SHARES = (0.03, 0.3)  # Of the loss that is a term's, where fits start.
_EXPONENTS = (0.1, 0.5)
_OPTIONS = {"maxiter": 300, "gtol": 1e-4}


@dataclasses.dataclass(frozen=True)
class PaperModel:
  """A model of MarS and its validation losses.

  Attributes:
    name: the paper's label.
    num_params: as the label counts: exact where the weights were released, else
      the label itself.
    num_live: less the two blocks of 49,152 D that the released code never uses
      (a table of tokens and a second head). Derived: D is known where released,
      and follows from the label elsewhere; for the largest, two shapes fit the
      label, of 0.909e9 and 0.917e9.
    nats: after each of `PAPER_TOKENS`; NaN where the figure has no point.
  """

  name: str
  num_params: float
  num_live: float
  nats: tuple[float, ...]


# Figure 3 of MarS, arXiv:2409.07486, read off its vectors (3 digits): the
# cross-entropy over 49,152 orders on the validation data, in nats. All points
# of a model are of one run, so that only the last had its learning rate decayed
# (if it was: the paper does not say); 2^35 tokens are 2.15 epochs.
PAPER_TOKENS = (1e9, 2e9, 4e9, 8e9, 1.6e10, 2.0**35)
_ = float("nan")
PAPER = (
  PaperModel("2M", 2_524_624, 902_576, (_, _, _, 7.999, 7.808, 7.743)),
  PaperModel("5M", 5_008_288, 1_813_344, (_, _, _, 7.764, 7.672, 7.619)),
  PaperModel("10M", 10_065_856, 3_725_120, (_, _, 7.775, 7.652, 7.583, 7.537)),
  PaperModel("19M", 19e6, 7.45e6, (_, 7.810, 7.669, 7.586, 7.524, 7.473)),
  PaperModel("44M", 44e6, 20.7e6, (7.848, 7.663, 7.552, 7.460, 7.384, 7.317)),
  PaperModel("107M", 107e6, 62.3e6, (7.682, 7.554, 7.448, 7.350, 7.267, 7.195)),
  PaperModel("221M", 221e6, 156e6, (7.603, 7.486, 7.373, 7.274, 7.187, 7.109)),
  PaperModel(
    "1.02B", 1.02e9, 913e6, (7.536, 7.428, 7.299, 7.191, 7.096, 6.994)
  ),
)


@dataclasses.dataclass(frozen=True)
class Law:
  """A floor, and a power of each of K variables: floor + sum of c x^-a.

  Attributes:
    floor: nats; what no size and no data take away. 0 if the law has none.
    log_scales: float64 `[K]`, ln c of each variable.
    exponents: float64 `[K]`, a of each variable.
  """

  floor: float
  log_scales: np.ndarray
  exponents: np.ndarray

  def __call__(self, x: np.ndarray) -> np.ndarray:
    """Returns the loss at points `[..., K]`, float64 `[...]`."""
    logs = self.log_scales - self.exponents * np.log(x)
    return self.floor + np.exp(logs).sum(axis=-1)


def fit(
  x: np.ndarray,
  loss: np.ndarray,
  *,
  has_floor: bool = True,
  delta: float = DELTA,
) -> Law:
  """Fits a law to runs, as the module describes.

  Args:
    x: `[n, K]`, positive: a row a run, say its N and D.
    loss: `[n]`, positive, nats.
    has_floor: whether the law has a floor.
    delta: of the Huber loss, in ln L; a large one gives least squares.

  Raises:
    ValueError: if the runs are too few, or too much alike, to tell the law.
  """
  _check(x, loss, has_floor)
  z, centre = _centred(x)
  starts = _starts(loss, x.shape[1], has_floor)
  return _law(_solve(z, np.log(loss), starts, delta), centre)


def bootstrap(
  x: np.ndarray,
  loss: np.ndarray,
  *,
  has_floor: bool = True,
  delta: float = DELTA,
  num_samples: int = 300,
  seed: int = 0,
) -> list[Law]:
  """Fits a law to bootstrap resamples of the runs.

  A resample that is too much alike to tell the law is drawn again.

  Args:
    x, loss, has_floor, delta: as in `fit`.
    num_samples: how many.
    seed: of the draws.

  Raises:
    ValueError: as in `fit`.
  """
  _check(x, loss, has_floor)
  z, centre = _centred(x)
  starts = _starts(loss, x.shape[1], has_floor)
  best = _solve(z, np.log(loss), starts, delta)
  starts = [best, starts[0]]
  rng = np.random.default_rng(seed)
  laws = []
  while len(laws) < num_samples:
    rows = stats.bootstrap_rows(rng, len(x))
    if _tells(x[rows], has_floor):
      theta = _solve(z[rows], np.log(loss[rows]), starts, delta)
      laws.append(_law(theta, centre))
  return laws


def interval(
  laws: collections.abc.Iterable[Law],
  value: collections.abc.Callable[[Law], float],
  *,
  level: float = 0.95,
) -> tuple[float, float]:
  """Returns the percentile interval of a value over laws."""
  return stats.percentile_interval([value(law) for law in laws], level=level)


def _check(x: np.ndarray, loss: np.ndarray, has_floor: bool) -> None:
  """Raises unless the runs tell a law."""
  if x.ndim != 2 or loss.shape != x.shape[:1]:
    raise ValueError(
      f"x {x.shape} must be [n, K], and the loss {loss.shape} [n]"
    )
  if not (np.isfinite(x).all() and (x > 0).all()):
    raise ValueError("sizes and numbers of tokens must be positive")
  if not (np.isfinite(loss).all() and (loss > 0).all()):
    raise ValueError("losses must be positive")
  num_unknown = 2 * x.shape[1] + has_floor
  if len(x) < num_unknown or not _tells(x, has_floor):
    counts = [str(len(np.unique(column))) for column in x.T]
    raise ValueError(
      f"a law of {num_unknown} unknowns needs as many runs, and"
      f" {2 + has_floor} values of each variable; of runs there are {len(x)},"
      f" of values {' and '.join(counts)}"
    )


def _tells(x: np.ndarray, has_floor: bool) -> bool:
  """Checks that the runs identify a power (and a floor)."""
  return all(len(np.unique(column)) >= 2 + has_floor for column in x.T)


def _centred(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns centred ln x `[n, K]` and its mean `[K]`."""
  centre = np.log(x).mean(axis=0)
  return np.log(x) - centre, centre


def _starts(loss, num_variables, has_floor) -> list[np.ndarray]:
  """Returns where fits start, in the form of `_huber`'s theta.

  The first has no floor: where the best floor is 0, its ln has no end.
  """
  found = _starts(loss, num_variables, False)[:1] if has_floor else []
  for shares in itertools.product(_SHARES, repeat=num_variables):
    rest = [1 - sum(shares)] if has_floor else []
    shares = np.array(shares) if has_floor else np.array(shares) / sum(shares)
    for exponents in itertools.product(_EXPONENTS, repeat=num_variables):
      logs = np.log(np.mean(loss) * np.array([*shares, *rest]))
      found.append(
        np.concatenate([logs[:num_variables], exponents, logs[num_variables:]])
      )
  return found


def _solve(z, log_loss, starts, delta) -> np.ndarray:
  """Returns the best theta found, by Huber loss."""
  results = [
    optimize.minimize(
      _huber,
      start,
      (z, log_loss, delta),
      method="BFGS",
      jac=True,
      options=_OPTIONS,
    )
    for start in starts
  ]
  return min(results, key=lambda result: result.fun).x


def _huber(theta, z, log_loss, delta) -> tuple[float, np.ndarray]:
  """Scores a law.

  Args:
    theta: the ln of each variable's term where z is 0, their exponents, and the
      ln of the floor if there is one: float64 `[2 K]` or `[2 K + 1]`.
    z: float64 `[n, K]`, from `_centred`.
    log_loss: float64 `[n]`.
    delta: of the Huber loss.

  Returns:
    The sum of the Huber losses, and its gradient, both over `_UNIT`.
  """
  k = z.shape[1]
  logs = np.empty((len(z), len(theta) - k))
  logs[:, :k] = theta[:k] - z * theta[k : 2 * k]
  logs[:, k:] = theta[2 * k :]
  total = np.logaddexp.reduce(logs, axis=1)
  residual = total - log_loss
  slope = np.clip(residual, -delta, delta)
  shares = np.exp(logs - total[:, None])
  to_logs = slope @ shares
  to_exponents = -slope @ (shares[:, :k] * z)
  gradient = np.concatenate([to_logs[:k], to_exponents, to_logs[k:]])
  return slope @ (residual - slope / 2) / _UNIT, gradient / _UNIT


def _law(theta, centre) -> Law:
  """Returns the law in the original, uncentred variables."""
  k = len(centre)
  exponents = theta[k : 2 * k]
  return Law(
    floor=float(np.exp(theta[2 * k :]).sum()),
    log_scales=theta[:k] + exponents * centre,
    exponents=exponents,
  )
