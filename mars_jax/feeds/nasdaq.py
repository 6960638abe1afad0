"""Prices of the feeds of NASDAQ: ITCH and LOBSTER."""

UNITS = 10_000  # Of a price, in a dollar.
TICKS = (100, 50, 1)  # Units: a cent, half of one, and that below a dollar.
