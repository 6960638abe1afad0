"""Results of simulations as bars, tables, files and pictures.

bars         price, spread, depth and volume over time
tables       accounts of agents, trades and bars as CSV
outputs      the files that a simulation's config asks for
figures      the fan of a forecast; needs the extra `plot`
market_plot  panels of a simulated market; needs the extra `plot`
"""
