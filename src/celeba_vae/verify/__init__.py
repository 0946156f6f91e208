"""Whether the committed state of a project gives its committed results again.

`consistency` looks at what is committed, in seconds; `run` reproduces it in an empty clone and
compares. Knows git, DVC and pip by their commands, and no stage by its code.
"""
