"""Weights and bins that the authors of MarS released, converted.

weights  safetensors of their order model to parameters and a config
bins     their pickled converters to `tokens.bins.Bins`, without unpickling
"""
