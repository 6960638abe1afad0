"""Transformer layers that know no model.

config       `TransformerConfig`
transformer  init, a whole sequence, one token
layers       norm, block, table lookup, dropout
attention    rotary positions, windowed attention
cache        ring buffers of keys and values, shared histories
"""
