"""Figures, not verdicts: `python -m tests.bench --help`. Nothing here is timed by the test suite."""
