"""The command line `celeba-vae`, a module for each kind of command."""
