"""Scripts that measure quality and speed; each runs on its own, `python benchmarks/NAME.py`."""
