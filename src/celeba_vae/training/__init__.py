"""Stage `train`: fit a VAE to the shards, on TensorFlow or JAX, with states that outlive a kill.

`run` is its function; `fit` is the training loop, `steps` one step of it as Keras ops. Knows no
other stage.
"""
