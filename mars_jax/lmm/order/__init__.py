"""The order model: one order after another.

adaptation  biases fitted to the orders before a start
config      `LmmConfig`
embed       a token of `tokens.features` to a vector
heads       a vector to a distribution of the next order
model       init, apply, log_prob, sample
sampling    `next_order`, as the simulator calls a model
"""
