"""Where the faces come from: drawn, CelebA's official files, or a local archive or folder.

Each source leaves the same files in data/imported, in the layout of CelebA's official release
(`layout`): an archive of images, annotation files, and `source.json`. Nothing here knows how
images are prepared or learned from.
"""
