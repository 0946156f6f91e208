"""Pictures: plots of numbers and grids of images, each as PNG in stable bytes.

Knows nothing of files, of models and of stages.
"""
