"""A drawn face from its factors, part by part (`portrait` puts them together).

Pixels depend on the factors alone, and are the same on every processor. Nothing here knows of
files or data sets.
"""
