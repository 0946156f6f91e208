"""Measures of images: quality, similarity, sliced Wasserstein and Frechet distance, likelihood.

Each module is one measure with its source in the literature. None knows a stage, a folder or a
parameter of params.yaml.
"""
