"""Databento's CSV encoding reads as the same DBN."""

import datetime

import pytest

pytest.importorskip("databento_dbn")
pytest.importorskip("polars")

from mars_jax.feeds import events
from mars_jax.feeds import registry
from mars_jax.feeds.databento import reader
from tests.support.feeds import databento_writer as writer
from tests.support.feeds.databento_days import same
from tests.support.feeds.databento_days import write

NAMES = (
  *("ts_recv", "ts_event", "rtype", "publisher_id", "instrument_id", "action"),
  *("side", "price", "size", "channel_id", "order_id", "flags", "ts_in_delta"),
  *("sequence", "symbol"),
)
UNDEFINED = 2**63 - 1
EPOCH = datetime.datetime(1970, 1, 1)


def iso(time):
  """A time as the vendor writes it."""
  seconds, rest = divmod(time, 10**9)
  moment = EPOCH + datetime.timedelta(seconds=seconds)
  return f"{moment.isoformat()}.{rest:09d}Z"


def decimal(price):
  """A price as the vendor writes it."""
  if price == UNDEFINED:
    return ""
  sign = "-" if price < 0 else ""
  return f"{sign}{abs(price) // 10**9}.{abs(price) % 10**9:09d}"


def to_csv(path, records, *, prices=True, times=True, symbol="ESH4"):
  """Writes records; prices and times pretty or not."""
  time = iso if times else str
  lines = [",".join(NAMES if symbol else NAMES[:-1])]
  for r in records:
    fields = [
      *(time(r.ts_recv), time(r.ts_event), 160, r.publisher_id),
      *(r.instrument_id, r.action.value, r.side.value),
      decimal(r.price) if prices else r.price,
      *(r.size, 0, r.order_id, int(r.flags), 0, 0),
      *([symbol] if symbol else []),
    ]
    lines.append(",".join(map(str, fields)))
  path.write_text("\n".join(lines) + "\n")
  return path


@pytest.mark.parametrize("times", [True, False])
@pytest.mark.parametrize("prices", [True, False])
def test_csv_reads_as_the_same_dbn(tmp_path, prices, times):
  records = writer.Market(snapshot=20).run(300).records
  wanted, truth = reader.read_checked(write(tmp_path, records))
  path = tmp_path / "glbx-mdp3-20240305.mbo.csv"
  to_csv(path, records, prices=prices, times=times)
  assert registry.find_format(path) == "databento"
  assert registry.instruments(path) == ("ESH4",)
  for instrument in (None, "ESH4", str(writer.ID)):
    stream, found = registry.read_checked(path, instrument=instrument)
    assert same(stream, wanted)
    assert stream.market == "GLBX.MDP3"
    assert (stream.tick_size, stream.day) == (0.25, "2024-03-05")
    assert found.trades.volume.tolist() == truth.trades.volume.tolist()
    assert {**stream.counts} == {**wanted.counts}


def test_csv_without_symbols_goes_by_ids_and_is_split(tmp_path):
  first, second = (
    writer.Market(instrument_id=number, seed=number).run(100).records
    for number in (17, 18)
  )
  records = [r for pair in zip(first, second, strict=False) for r in pair]
  path = to_csv(tmp_path / "a.mbo.csv", records, symbol=None)
  assert reader.instruments(path) == ("17", "18")
  with pytest.raises(events.DataError, match="2 instruments; name one of 17"):
    reader.read_checked(path)
  with pytest.raises(events.DataError, match="no instrument 'ESH4'"):
    reader.read_checked(path, instrument="ESH4")
  for part, name in zip(
    reader.split(path, tmp_path / "split"), ("17", "18"), strict=True
  ):
    assert part.suffix == ".dbn"
    assert reader.instruments(part) == (name,)
    wanted = reader.read_checked(path, instrument=name)[0]
    assert same(reader.read_checked(part)[0], wanted)


def test_negative_and_undefined_prices(tmp_path):
  records = [
    writer.record("A", 1, "A", -1, 5),
    writer.record("A", 2, "B", -2, 5),
    writer.record("T", 0, "N", 0, 5),
  ]
  records[2].price = UNDEFINED
  for prices in (True, False):
    path = to_csv(tmp_path / "a.csv", records, prices=prices)
    assert reader.read_checked(path)[0].price.tolist() == [-1, -2]


@pytest.mark.parametrize(
  ("old", "new", "reason"),
  [
    ("25.250000000", "x", "row 2: price is no number"),
    ("25.250000000", "25.2500000001", "row 2: price has more than 9"),
    ("2024-03-05T14:30:00.000150000Z", "2024-99", "row 2: ts_recv is no time"),
    (",160,", ",1,", "row 2: the record is of no order"),
    (",7,", ",-7,", "row 2: order_id is no whole number"),
    ("order_id", "id", 'row 1: unable to find column "order_id"'),
  ],
)
def test_broken_line_is_named(tmp_path, old, new, reason):
  path = to_csv(tmp_path / "a.csv", [writer.record("A", 7, "A", 101, 5)])
  path.write_text(path.read_text().replace(old, new, 1))
  with pytest.raises(events.DataError, match=reason):
    reader.read_checked(path)


def test_prices_of_another_unit_are_refused(tmp_path):
  record = writer.record("A", 7, "A", 101, 5)
  record.price = 2_525  # Cents.
  path = to_csv(tmp_path / "a.csv", [record], prices=False)
  with pytest.raises(events.DataError, match="row 2: .*too small for units"):
    reader.read_checked(path)
