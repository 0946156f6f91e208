"""Stage `evaluate`: how good reconstructions and drawn faces are, and how many bits an image needs.

`run` puts the parts together; the measures themselves are in `metrics`.
"""
