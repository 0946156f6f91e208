"""Stage `zpoints`: encode every split once, describe where its z-points lie, fit samplers to them.

z-points are latent codes: mu, and z sampled from N(mu, exp(log_var)). Knows nothing of files but
their names, and of no other stage.
"""
