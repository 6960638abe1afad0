"""Presets of `Rules` by venue, each with its rule book.

To add a venue, write its `Rules` here, name the rule book and what is not
modelled, and add a line to `PRESETS`: flags, feeds and simulations find it by
that name.
"""

import dataclasses

from mars_jax.lob import rules as rules_lib


def _clock(hours: int, minutes: int = 0) -> int:
  return (hours * 60 + minutes) * 60


CONTINUOUS = rules_lib.Rules()
"""A venue that trades for 24 hours, as those of crypto assets do.

Such venues publish no common rule book. Bitstamp and Coinbase, whose feeds this
package reads, replay under these rules without a difference. Fees are not
modelled.
"""

A_SHARES = rules_lib.Rules(
  lot=100,
  odd_lots_on_sale=True,
  price_limit_bp=1_000,
  schedule=(
    (_clock(9, 15), rules_lib.Phase.CALL_AUCTION),
    (_clock(9, 20), rules_lib.Phase.NO_CANCEL),
    (_clock(9, 25), rules_lib.Phase.BREAK),
    (_clock(9, 30), rules_lib.Phase.CONTINUOUS),
    (_clock(11, 30), rules_lib.Phase.BREAK),
    (_clock(13), rules_lib.Phase.CONTINUOUS),
    (_clock(14, 57), rules_lib.Phase.CLOSING_AUCTION),
    (_clock(15), rules_lib.Phase.CLOSED),
  ),
  auction_tie=rules_lib.AuctionTie.MIDDLE,
)
"""Shanghai's main board; a tick is CNY 0.01, a lot is a share.

Trading Rules of the Shanghai Stock Exchange, chapter on securities trading: its
sections on order entry (times, no cancels from 9:20 and from 14:57, purchases
in multiples of 100 shares, +-10 % of the previous close rounded half up to the
tick) and on auctions (of the prices of orders that of maximum volume at which
all better orders are filled, then of the least volume unfilled, then the
middle). The call auction at the close came with the revision of August 2018.

Not modelled: that an odd lot is sold at once and whole; market orders that
reach five levels only; price cages; IPOs; +-5 % for ST shares. Neither exchange
knows a modify: cancel, and send anew.
"""

SHENZHEN = dataclasses.replace(
  A_SHARES, auction_tie=rules_lib.AuctionTie.REFERENCE
)
"""Shenzhen's main board: as Shanghai's but for the tie of call auctions.

Trading Rules of the Shenzhen Stock Exchange, section on auctions: of all prices
that of maximum volume at which all better orders are filled, then of the least
difference between the volume bid there or above and asked there or below, then
the one nearest to the previous close (at the open) or to the latest price (at
the close). Article 3.3.1, as amended on 28 April 2016 (notice No. 138 [2016]),
takes orders from 9:15 to 9:25, 9:30 to 11:30 and 13:00 to 15:00, and no cancels
from 9:20 to 9:25 and from 14:57. Until that amendment orders came in, and
waited, also from 9:25 to 9:30.
"""

STAR = dataclasses.replace(
  A_SHARES, lot=1, odd_lots_on_sale=False, price_limit_bp=2_000
)
"""Shanghai's STAR market: +-20 %, and volumes in steps of one share.

Special Rules of the Shanghai Stock Exchange for trading on the Science and
Technology Innovation Board (2019). Not modelled: the minimum of 200 shares, no
limit on the first five days, the market's halts then, trading at the closing
price from 15:05 to 15:30.
"""

CHINEXT = dataclasses.replace(SHENZHEN, price_limit_bp=2_000)
"""Shenzhen's ChiNext: +-20 %.

Special provisions of the Shenzhen Stock Exchange for trading on ChiNext (2020).
Not modelled: as for `A_SHARES` and `STAR`, but for the lot.
"""

SHENZHEN_BOND = dataclasses.replace(SHENZHEN, lot=10, price_limit_bp=2_000)
"""Shenzhen's convertible bonds: +-20 %, purchases in multiples of ten.

Implementing Rules of the Shenzhen Stock Exchange for trading in convertible
corporate bonds (2022). A tick is CNY 0.001, a lot a bond. Not modelled: the
halts at 20 % and 30 % on the first day, purchases and sales on one day.
"""

NASDAQ = rules_lib.Rules(
  schedule=(
    (_clock(4), rules_lib.Phase.CONTINUOUS),
    (_clock(20), rules_lib.Phase.CLOSED),
  ),
)
"""NASDAQ's continuous book; a tick is one cent, a lot is a share.

Nasdaq rule book, Equity 1, section 1 (definitions): System Hours are 4:00 to
20:00 Eastern, Market Hours 9:30 to 16:00 in between. Equity 4: price-time
priority, and rule 4756(a)(3), what a modified order keeps. Rule 612 of
Regulation NMS: one cent from USD 1; below, USD 0.0001, which a grid of cents
cannot hold: multiply prices by 10,000 and set `tick_bands=((-(2**30), 1),
(10_000, 100))`. The half cent that its amendment of 2024 gives to some shares
is left out.

Not modelled: the opening and closing crosses, Limit Up-Limit Down and other
halts (rule 4120), hidden and pegged orders, routing to other venues. A
participant may ask for self-trade prevention (rule 4757); here it is off.
"""

PRESETS = {
  "continuous": CONTINUOUS,
  "shanghai": A_SHARES,
  "shenzhen": SHENZHEN,
  "star": STAR,
  "chinext": CHINEXT,
  "shenzhen-bond": SHENZHEN_BOND,
  "nasdaq": NASDAQ,
}
"""The venues by name, as a flag gives it."""
