"""Baselines that a learned model must beat.

`zero_intelligence` is random flow at constant rates, `calibration` measures
these on real days and scores orders by them, `poisson_flow` is such a flow for
the simulator, `queue_reactive` draws orders by the state of the book, `ngrams`
counts orders and pairs of orders.
"""
