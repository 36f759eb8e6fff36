"""One script per claim, run as `python -m benchmarks.NAME`; each writes its numbers to benchmarks/results/."""
