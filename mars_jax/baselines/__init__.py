"""Baselines that a learned model must beat.

`zero_intelligence` is random flow at constant rates, `calibration` measures
these on real days and scores orders by them, `ngrams` counts orders and pairs
of orders.
"""
