"""The model: Encoder, Decoder, VAE, its losses, and how a trained one is saved and loaded.

Knows parameters and the backend, but neither images on disk nor how a model is trained.
"""
