"""What `launch/benchmark.py` measures, and with what."""
