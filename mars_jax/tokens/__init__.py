"""Orders and books as tokens, the input of a model.

vocab      the 49,152 orders: kind, price, volume and interval
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
