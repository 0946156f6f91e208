"""What any program needs: errors, files, outs of a stage, processes, progress bars, scratch.

Nothing here knows of faces or models.
"""
