"""Mathematics of the latent space: clouds of points, their distances, samplers and directions.

Works on arrays, and reads those that stages have stored. Knows no model, no image and no stage.
"""
