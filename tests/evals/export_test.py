"""Sequences as files, as LOB-Bench's loader reads them."""

import numpy as np

from mars_jax.evals import export
from tests.support.evals import made_up_messages


def test_files_have_the_names_and_columns_of_the_benchmark(tmp_path):
  m = made_up_messages.make(3, 50, num_levels=4)
  m.book.volume[7, 0, 3] = m.book.volume[7, 1, 2] = 0
  export.write(
    tmp_path / "gen",
    [m, m],
    instrument="X",
    day="2020-01-02",
    suffix="_gen_id_0",
  )
  names = sorted(path.name for path in (tmp_path / "gen").iterdir())
  assert names == [
    f"X_2020-01-02_{kind}_real_id_{i}_gen_id_0.csv"
    for kind in ("message", "orderbook")
    for i in (0, 1)
  ]
  lines = (tmp_path / "gen" / names[0]).read_text().splitlines()
  assert len(lines) == 50
  time, kind, order_id, size, price, direction = lines[7].split(",")
  seconds, digits = time.split(".")
  assert len(digits) == 9
  assert int(seconds) * 10**9 + int(digits) == m.time[7]
  assert [int(kind), int(order_id), int(size)] == [
    m.kind[7],
    m.id[7],
    m.size[7],
  ]
  assert int(price) == 100 * m.price[7]
  assert int(direction) == (1 if m.side[7] == 1 else -1)
  rows = np.loadtxt(tmp_path / "gen" / names[2], delimiter=",", dtype=np.int64)
  assert rows.shape == (50, 16)
  assert rows[7, 12:14].tolist() == [9_999_999_999, 0]  # The fourth ask.
  assert rows[7, 10:12].tolist() == [-9_999_999_999, 0]  # The third bid.
  assert rows[8, 0] == 100 * m.book.price[8, 0, 0]
  assert rows[8, 3] == m.book.volume[8, 1, 0]
