"""The same as `celeba-vae`: `python -m celeba_vae.cli`."""

from celeba_vae.cli.program import main

if __name__ == "__main__":
    main()
