"""Helpers that every package may use: files, checks, statistics, times of day."""
