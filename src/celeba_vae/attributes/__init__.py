"""Stage `attributes`: what mu tells of attributes and true factors, and faces pushed along them.

Nothing here knows where model, z-points or shards lie on disk, but for `labels`, which reads the
shards' index.
"""
