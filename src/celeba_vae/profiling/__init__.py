"""What a step of training takes in memory and time, for `celeba-vae profile`.

`cases` are the configurations, `measuring` runs one in a process of its own, `page` writes it down.
Knows how steps are trained; no stage knows it.
"""
