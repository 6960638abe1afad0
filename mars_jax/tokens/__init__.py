"""Orders and books as tokens, the input of a model.

alphabet   the fields of an order, as data: those of touch or of vocab
touch      the default alphabet: what an order does at the best prices
vocab      the paper's: 49,152 orders, their prices against the mid
log_code   integers, exact near 0 and relative far away
bins       quantile bins, fitted to data
features   a token of an order and the market around it, in compiled code
encoding   bins of a day's records, and their fit, in NumPy
histogram  counts of values, over days larger than memory
image      orders of a minute as a picture, for the order-batch model
"""

from mars_jax.tokens.bins import Bins
from mars_jax.tokens.encoding import fit
from mars_jax.tokens.features import TokenFeatures
from mars_jax.tokens.features import Tokenizer

__all__ = ("Bins", "TokenFeatures", "Tokenizer", "fit")
