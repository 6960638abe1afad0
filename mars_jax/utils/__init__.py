"""Files, checks, statistics, times of day, progress bars."""
