"""Shards: the images of data/imported as squares of pixels, in files that can be memory-mapped.

`write` makes them with their index and manifest, from images that `transform` decodes and `splits`
assigns to train, validation and test; `read` opens them; `inspect` describes and checks them.
Nothing here knows of a model.
"""
