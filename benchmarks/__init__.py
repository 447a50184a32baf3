"""Side-by-side benchmarks of this package and can-isotp; run them with ``python -m benchmarks``."""
