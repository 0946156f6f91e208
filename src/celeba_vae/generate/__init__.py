"""Stage `generate`: random faces, reconstructions and interpolations as pictures and arrays.

Also what the command `compare` draws of several runs. Where a model, samplers or images lie on
disk, `run` does not know.
"""
