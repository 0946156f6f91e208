"""Stage `zpoints`: encode every split once, describe where its z-points lie, fit samplers to them.

z-points are latent codes: mu, and z sampled from N(mu, exp(log_var)). Takes a model and images,
returns arrays, tables and pictures, writes nothing, and knows no other stage.
"""
