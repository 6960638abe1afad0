"""Checks before matching, and the presets, by hand."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import pytest
from absl.testing import parameterized

from mars_jax import lob
from mars_jax import types
from mars_jax.lob import rules as rules_lib
from mars_jax.lob import session
from mars_jax.lob import submit
from tests.support import exchanges
from tests.support.oracles import python_exchange

pytestmark = pytest.mark.usefixtures("quick_compilation")

ASK, BID = types.Side.ASK, types.Side.BID
Kind, Reason, Phase = types.OrderKind, types.Reason, rules_lib.Phase
Message = python_exchange.Message
# From 100 on only even prices; round lots of 3, sales of any volume; +-2 %.
CHECKED = rules_lib.Rules(
  tick_bands=((-(2**30), 1), (100, 2)),
  lot=3,
  odd_lots_on_sale=True,
  price_limit_bp=200,
)


@functools.partial(jax.jit, static_argnames="rules")
def _check(rules, order, phase, reference, halted):
  return rules_lib.check(
    rules, order, phase=phase, reference=reference, halted=halted
  )


def _reason(
  rules,
  kind=Kind.LIMIT,
  side=BID,
  price=100,
  volume=300,
  phase=Phase.CONTINUOUS,
  reference=100,
  halted=False,
):
  order = lob.make_order(kind, side, price, volume, 0)
  args = jnp.int32(phase), jnp.int32(reference), jnp.asarray(halted)
  return int(_check(rules, order, *args))


class ChecksTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.enter_context(jax.numpy_dtype_promotion("strict"))

  @parameterized.parameters(
    (99, Reason.ACCEPTED),  # Below the band, where a tick is 1.
    (100, Reason.ACCEPTED),
    (101, Reason.OFF_TICK),  # In the band, where it is 2.
    (102, Reason.ACCEPTED),
  )
  def test_price_must_be_on_the_grid_of_its_band(self, price, expected):
    self.assertEqual(_reason(CHECKED, price=price), expected)

  @parameterized.parameters(
    (-101, 1), (99, 1), (100, 2), (101, 2), (999, 2), (1000, 5), (5000, 5)
  )
  def test_band_holds_from_its_price_on(self, price, tick):
    rules = rules_lib.Rules(tick_bands=((0, 1), (100, 2), (1000, 5)))
    self.assertEqual(rules_lib.tick_at(rules, jnp.int32(price)), tick)

  @parameterized.parameters(
    (Kind.LIMIT, BID, 3, Reason.ACCEPTED),
    (Kind.LIMIT, BID, 4, Reason.OFF_LOT),
    (Kind.LIMIT, ASK, 4, Reason.ACCEPTED),  # Who holds 4 may sell them.
    (Kind.MODIFY, BID, 4, Reason.OFF_LOT),
    (Kind.MARKET, BID, 4, Reason.OFF_LOT),
    (Kind.CANCEL, BID, 4, Reason.ACCEPTED),
  )
  def test_buyers_keep_to_round_lots(self, kind, side, volume, expected):
    reason = _reason(CHECKED, kind, side, volume=volume)
    self.assertEqual(reason, expected)

  @parameterized.parameters(ASK, BID)
  def test_both_sides_keep_to_round_lots_where_odd_ones_are_not_sold(
    self, side
  ):
    rules = rules_lib.Rules(lot=2)
    self.assertEqual(_reason(rules, side=side, volume=3), Reason.OFF_LOT)
    self.assertEqual(_reason(rules, side=side, volume=4), Reason.ACCEPTED)

  @parameterized.parameters(
    (97, Reason.PRICE_LIMIT),
    (98, Reason.ACCEPTED),
    (102, Reason.ACCEPTED),
    (104, Reason.PRICE_LIMIT),
  )
  def test_price_must_be_within_the_limits_of_the_day(self, price, expected):
    self.assertEqual(_reason(CHECKED, price=price), expected)

  @parameterized.parameters(Kind.CANCEL, Kind.MARKET)
  def test_orders_without_a_price_pass_the_checks_of_prices(self, kind):
    self.assertEqual(_reason(CHECKED, kind, price=777), Reason.ACCEPTED)

  @parameterized.named_parameters(
    ("10_percent_even", 1_000, 1_000, (900, 1_100)),
    ("10_percent_up_from_a_half", 1_000, 1_005, (905, 1_106)),  # 904.5, 1105.5
    ("10_percent_down_below_a_half", 1_000, 1_004, (904, 1_104)),
    ("20_percent", 2_000, 1_002, (802, 1_202)),  # 801.6, 1202.4
    ("of_a_single_tick", 1_000, 1, (1, 1)),  # 0.9, 1.1
    ("of_the_largest_price", 1_000, 2**30 - 1, (966_367_641, 1_181_116_005)),
  )
  def test_limits_round_half_up(self, limit, reference, expected):
    rules = rules_lib.Rules(price_limit_bp=limit)
    limits = rules_lib.price_limits(rules, jnp.int32(reference))
    self.assertEqual(tuple(map(int, limits)), expected)

  def test_of_several_reasons_the_first_counts(self):
    broken = dict(price=105, volume=4, halted=True)
    reason = functools.partial(_reason, CHECKED)
    self.assertEqual(reason(**broken, phase=Phase.BREAK), Reason.CLOSED)
    self.assertEqual(reason(**broken), Reason.HALTED)
    broken["halted"] = False
    self.assertEqual(reason(**broken), Reason.OFF_TICK)
    broken["price"] = 104
    self.assertEqual(reason(**broken), Reason.OFF_LOT)
    broken["volume"] = 6
    self.assertEqual(reason(**broken), Reason.PRICE_LIMIT)
    broken["price"] = 102
    self.assertEqual(reason(**broken), Reason.ACCEPTED)

  def test_halt_takes_cancels_alone(self):
    for kind in range(Kind.LIMIT, Kind.MODIFY + 1):
      expected = Reason.ACCEPTED if kind == Kind.CANCEL else Reason.HALTED
      self.assertEqual(_reason(CHECKED, kind, halted=True), expected)

  @parameterized.named_parameters(
    ("closed", Phase.CLOSED, ()),
    ("pre_open", Phase.PRE_OPEN, (Kind.LIMIT, Kind.CANCEL, Kind.MODIFY)),
    (
      "call_auction",
      Phase.CALL_AUCTION,
      (Kind.LIMIT, Kind.CANCEL, Kind.MODIFY),
    ),
    ("no_cancel", Phase.NO_CANCEL, (Kind.LIMIT,)),
    ("continuous", Phase.CONTINUOUS, tuple(range(Kind.MODIFY + 1))),
    ("break", Phase.BREAK, ()),
    ("closing_auction", Phase.CLOSING_AUCTION, (Kind.LIMIT,)),
  )
  def test_phase_takes(self, phase, kinds):
    for kind in range(Kind.LIMIT, Kind.MODIFY + 1):
      expected = Reason.ACCEPTED if kind in kinds else Reason.CLOSED
      self.assertEqual(_reason(CHECKED, kind, phase=phase), expected, kind)

  def test_padding_is_always_accepted(self):
    reason = _reason(CHECKED, Kind.NONE, price=105, phase=Phase.CLOSED)
    self.assertEqual(reason, Reason.ACCEPTED)

  def test_rejected_orders_change_nothing_and_are_counted(self):
    played = exchanges.play(
      CHECKED,
      [
        Message(Kind.LIMIT, ASK, 100, 4, 0),
        Message(Kind.LIMIT, BID, 101, 3, 1),
        Message(Kind.LIMIT, BID, 100, 4, 2),
        Message(Kind.LIMIT, BID, 104, 3, 3),
      ],
    )
    reasons = [Reason.OFF_TICK, Reason.OFF_LOT, Reason.PRICE_LIMIT]
    self.assertEqual(played.reasons, [Reason.ACCEPTED, *reasons])
    self.assertEqual(played.counts, dict.fromkeys(sorted(played.reasons), 1))
    self.assertEqual(played.rows(ASK), [(100, 4, 0)])


class RulesTest(parameterized.TestCase):
  @parameterized.parameters(
    dict(schedule=()),
    dict(schedule=((9, Phase.CONTINUOUS), (8, Phase.CLOSED))),
    dict(schedule=((9, Phase.CONTINUOUS), (9, Phase.CLOSED))),
    dict(tick_bands=()),
    dict(tick_bands=((100, 1), (0, 1))),
    dict(tick_bands=((0, 0),)),
    dict(tick_bands=((0, 2), (5, 5))),  # 5 is not on the grid below.
    dict(tick_bands=((0, 1), (7, 2))),  # 7 is not on its own grid.
    dict(lot=0),
    dict(min_allocation=0),
    dict(price_limit_bp=-1),
    dict(price_limit_bp=10_001),
    dict(halt=rules_lib.VolatilityHalt(move_bp=0, seconds=60)),
    dict(halt=rules_lib.VolatilityHalt(move_bp=500, seconds=0)),
  )
  def test_rules_that_cannot_be_are_refused(self, **rules):
    with self.assertRaises(ValueError):
      rules_lib.Rules(**rules)

  def test_every_rejection_has_an_explanation(self):
    explained = submit.EXPLANATIONS.keys()
    self.assertEqual(explained, set(range(1, Reason.COUNT)))

  def test_halt_width_is_never_less_than_the_move_asked_for(self):
    halt = rules_lib.VolatilityHalt(move_bp=1_000, seconds=60)
    # 10 % of 104 is 10.4: a move of 10 is less.
    for price, width in ((104, 11), (100, 10), (-100, 10), (4, 1), (0, 1)):
      self.assertEqual(rules_lib.halt_width(halt, jnp.int32(price)), width)


def _clock(text):
  hours, minutes = text.split(":")
  return 3600 * int(hours) + 60 * int(minutes)


class PresetsTest(parameterized.TestCase):
  @parameterized.product(
    name=("shanghai", "shenzhen", "star", "chinext"),
    phase=(
      ("09:15", Phase.CLOSED, Phase.CALL_AUCTION),
      ("09:20", Phase.CALL_AUCTION, Phase.NO_CANCEL),
      ("09:25", Phase.NO_CANCEL, Phase.BREAK),
      ("09:30", Phase.BREAK, Phase.CONTINUOUS),
      ("11:30", Phase.CONTINUOUS, Phase.BREAK),
      ("13:00", Phase.BREAK, Phase.CONTINUOUS),
      ("14:57", Phase.CONTINUOUS, Phase.CLOSING_AUCTION),
      ("15:00", Phase.CLOSING_AUCTION, Phase.CLOSED),
    ),
  )
  def test_day_in_china(self, name, phase):
    time, before, after = phase
    rules, seconds = lob.PRESETS[name], jnp.int32(_clock(time))
    self.assertEqual(session.phase_at(rules, seconds - 1), before)
    self.assertEqual(session.phase_at(rules, seconds), after)

  @parameterized.named_parameters(
    # The previous close is CNY 10.05; 10 % of it are 1.005.
    ("shanghai", "shanghai", 905, 1_106, 100),
    ("shenzhen", "shenzhen", 905, 1_106, 100),
    ("star", "star", 804, 1_206, 1),
    ("chinext", "chinext", 804, 1_206, 100),
  )
  def test_limits_and_lots_in_china(self, name, low, high, lot):
    reason = functools.partial(_reason, lob.PRESETS[name], reference=1_005)
    for price in (low, high):
      self.assertEqual(reason(price=price, volume=lot), Reason.ACCEPTED)
    for price in (low - 1, high + 1):
      self.assertEqual(reason(price=price, volume=lot), Reason.PRICE_LIMIT)
    odd = Reason.OFF_LOT if lot > 1 else Reason.ACCEPTED
    self.assertEqual(reason(price=low, volume=150), odd)
    self.assertEqual(reason(side=ASK, price=low, volume=50), Reason.ACCEPTED)

  def test_exchanges_of_china_differ_in_the_tie_of_auctions(self):
    ties = [lob.PRESETS[name].auction_tie for name in ("shanghai", "shenzhen")]
    tie = rules_lib.AuctionTie
    self.assertEqual(ties, [tie.MIDDLE, tie.REFERENCE])
    same = dataclasses.replace(lob.PRESETS["shanghai"], auction_tie=ties[1])
    self.assertEqual(same, lob.PRESETS["shenzhen"])

  def test_nasdaq_matches_from_4_to_20(self):
    for time, expected in (
      (_clock("04:00") - 1, Phase.CLOSED),
      (_clock("04:00"), Phase.CONTINUOUS),
      (_clock("20:00") - 1, Phase.CONTINUOUS),
      (_clock("20:00"), Phase.CLOSED),
    ):
      phase = session.phase_at(lob.PRESETS["nasdaq"], jnp.int32(time))
      self.assertEqual(phase, expected)

  def test_sub_dollar_band_of_nasdaq_fits_a_grid_of_hundredths_of_a_cent(self):
    rules = dataclasses.replace(
      lob.PRESETS["nasdaq"], tick_bands=((-(2**30), 1), (10_000, 100))
    )
    reason = functools.partial(_reason, rules)
    self.assertEqual(reason(price=9_999), Reason.ACCEPTED)  # USD 0.9999
    self.assertEqual(reason(price=10_001), Reason.OFF_TICK)  # USD 1.0001
    self.assertEqual(reason(price=10_100), Reason.ACCEPTED)  # USD 1.01

  def test_around_the_clock_every_second_is_continuous(self):
    for seconds in (0, _clock("12:00"), 86_399):
      phase = session.phase_at(lob.PRESETS["continuous"], jnp.int32(seconds))
      self.assertEqual(phase, Phase.CONTINUOUS)

  def test_presets_are_hashable_so_that_they_can_be_static(self):
    self.assertLen(set(lob.PRESETS.values()), len(lob.PRESETS))
