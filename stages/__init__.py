"""The stages of dvc.yaml, a module each; runner.py is what all do around their work."""
