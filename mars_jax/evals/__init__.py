"""Scores of generated markets.

messages   orders as messages with the book after each: what is compared
lob_bench  the 24 scores of LOB-Bench, and their distances
"""
