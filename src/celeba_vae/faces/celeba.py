"""CelebA's official files: their sizes and sha256, and where they are downloaded from.

Sizes and sha256 are those in TensorFlow Datasets (`celeb_a`, checksums.tsv); the ids on Google
Drive are those of the authors' share, as in TensorFlow Datasets and torchvision. The mirrors are
the ones in public use; each file is accepted for its bytes alone.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from celeba_vae.faces.layout import (
    ARCHIVE,
    ATTRIBUTES_FILE,
    IDENTITY_FILE,
    PARTITION_FILE,
    SOURCE_FILE,
)
from celeba_vae.faces.transfer import (
    PATIENCE,
    DriveFile,
    Mirror,
    OfficialFile,
    OnDisk,
    Patience,
    Refused,
    Route,
    fetch_file,
)
from celeba_vae.runtime.errors import UserError, reason_of
from celeba_vae.runtime.files import atomic_path, write_json

HOME_PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"

_LAVAL = "https://graal.ift.ulaval.ca/public/celeba"
_DROPBOX = "https://www.dropbox.com/sh/8oqt9vytwxb3s4r"

# The small files first: a network that gives none of them is found out in seconds.
OFFICIAL_FILES = (
    OfficialFile(
        name=PARTITION_FILE,
        size=2_836_386,
        sha256="fc955bcb3ef8fbdf7d5640d9a8693a8431b5f2ee291a5c1449a1549e7e073fe7",
        routes=(
            Mirror("Laval University", f"{_LAVAL}/{PARTITION_FILE}"),
            Mirror("Dropbox", f"{_DROPBOX}/AADxLE5t6HqyD8sQCmzWJRcHa/Eval/{PARTITION_FILE}?dl=1"),
            DriveFile("0B7EVK8r0v71pY0NSMzRuSXJEVkk"),
        ),
    ),
    OfficialFile(
        name=IDENTITY_FILE,
        size=3_424_458,
        sha256="c6143857c3e2630ac2da9f782e9c1232e5e59be993a9d44e8a7916c78a6158c0",
        routes=(
            Mirror("Laval University", f"{_LAVAL}/{IDENTITY_FILE}"),
            DriveFile("1_ee_0u7vcNLOfNLegJRHmolfH5ICW-XS"),
        ),
    ),
    OfficialFile(
        name=ATTRIBUTES_FILE,
        size=26_721_026,
        sha256="f0e5da289d5ccf75ffe8811132694922b60f2af59256ed362afa03fefba324d0",
        routes=(
            Mirror("Laval University", f"{_LAVAL}/{ATTRIBUTES_FILE}"),
            Mirror("Dropbox", f"{_DROPBOX}/AAC7-uCaJkmPmvLX2_P5qy0ga/Anno/{ATTRIBUTES_FILE}?dl=1"),
            DriveFile("0B7EVK8r0v71pblRyaVFSWGxPY0U"),
        ),
    ),
    OfficialFile(
        name=ARCHIVE,
        size=1_443_490_838,
        sha256="46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74",
        routes=(
            Mirror(
                "S3 of the PyTorch tutorials",
                f"https://s3.amazonaws.com/pytorch-tutorial-assets/{ARCHIVE}",
            ),
            Mirror(
                "S3 of Udacity",
                "https://s3-us-west-1.amazonaws.com/udacity-dlnfd/datasets/celeba.zip",
            ),
            Mirror("Laval University", f"{_LAVAL}/{ARCHIVE}"),
            Mirror("Dropbox", f"{_DROPBOX}/AADIKlz8PR9zr6Y20qbkunrba/Img/{ARCHIVE}?dl=1"),
            DriveFile("0B7EVK8r0v71pZjFTYXZWM3FlRnM"),
        ),
    ),
)


def fetch_dataset(
    folder: Path,
    *,
    scratch: Path,
    path: Path | None = None,
    url: str | None = None,
    files: Sequence[OfficialFile] = OFFICIAL_FILES,
    patience: Patience = PATIENCE,
) -> None:
    """Leave the verified `files` under their official names in `folder`, with source.json.

    source.json names the files with size (bytes) and sha256; it is the same for every route.

    Args:
        folder: where the files go; nothing is changed in it before all of them are verified.
        scratch: where downloads live between runs, verified ones and partial ones. It is outside
            `folder`, since DVC empties `folder` before a run.
        path: a folder, or a file, where the files are looked for first, see `OnDisk`.
        url: an address below which the files are asked for, by their names, before all mirrors.
        files: what to fetch.
        patience: timeouts and pauses.

    Raises:
        UserError: no route gave one of the files (the text has a line for each route, and says
            how to go on by hand), or the files cannot be stored.
    """
    try:
        verified = [
            fetch_file(_with_own_routes(file, path, url), scratch=scratch, patience=patience)
            for file in files
        ]
    except Refused as refused:
        raise UserError(*refused.args, *_by_hand(files, scratch)) from None
    for file, source in zip(files, verified, strict=True):
        try:
            # A copy, not a link: DVC makes its outs read-only, or replaces them by links.
            with atomic_path(folder / file.name) as temporary:
                shutil.copyfile(source, temporary)
        except OSError as error:
            raise UserError(
                f"{file.name} ({file.size} bytes) cannot be copied to {folder}: {reason_of(error)}"
            ) from None
    contents = {file.name: {"size": file.size, "sha256": file.sha256} for file in files}
    write_json(folder / SOURCE_FILE, {"source": "celeba", "files": contents})


def _with_own_routes(file: OfficialFile, path: Path | None, url: str | None) -> OfficialFile:
    own: list[Route] = []
    if path is not None:
        own.append(OnDisk(path))
    if url is not None:
        own.append(Mirror("download.url", f"{url.rstrip('/')}/{file.name}"))
    return replace(file, routes=(*own, *file.routes))


def _by_hand(files: Sequence[OfficialFile], scratch: Path) -> list[str]:
    width = max(len(file.name) for file in files)
    return [
        f"What has come stays in {scratch}; the next run goes on from there.",
        f"To fetch the files by hand, from {HOME_PAGE} or an address above, put",
        *(f"  {file.name:{width}}  {file.size} bytes  sha256 {file.sha256}" for file in files),
        "as many as you get, into one folder or on one web server, and run",
        "  dvc exp run --temp -S download.source=celeba -S download.path=/absolute/folder",
        "  dvc exp run --temp -S download.source=celeba -S download.url=https://host/folder",
        "Copies that are packed otherwise (Kaggle's, unpacked images) cannot be verified:",
        "  dvc exp run --temp -S download.source=local -S download.path=/absolute/folder",
    ]
