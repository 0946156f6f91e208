"""Mathematics of the latent space: clouds of points, their distances, samplers and directions.

Works on arrays alone. Knows no model, no image and no stage.
"""
