"""Scores of generated markets.

messages          orders as messages with the book after each: what is compared
lob_bench         LOB-Bench's distances of real and generated messages
lob_bench_scores  its 24 scores, of which these are
microstructure    order kinds along the horizon, drift, memory
novelty           how much of the past is repeated
response          the response to an injected order
discriminator     a network that separates generated messages from real ones
stylized_facts    Cont's eleven facts, of bars of many paths
similarity        histograms and classes of bars beside the real day's (Table 7)
stability         spread, depth and rates along a horizon of hours
market_bars       the bars of real and simulated orders that these take
export            sequences as files that LOB-Bench reads
"""
