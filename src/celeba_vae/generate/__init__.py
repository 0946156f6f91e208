"""Stage `generate`: random faces, reconstructions and interpolations as pictures and arrays.

Where a model, samplers or images lie on disk, `run` does not know.
"""
