"""Comparison of runs: parameters that differ, key metrics side by side, faces of each."""
