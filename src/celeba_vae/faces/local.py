"""Import of a local archive or folder of images, CelebA or any other, into data/imported."""

import hashlib
import lzma
import os
import zipfile
import zlib
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

from tqdm import tqdm

from celeba_vae.faces.annotations import ANNOTATION_FILES
from celeba_vae.faces.layout import ARCHIVE, ARCHIVE_FOLDER, SOURCE_FILE
from celeba_vae.runtime.errors import UserError, reason_of
from celeba_vae.runtime.files import atomic_path, write_bytes, write_json
from celeba_vae.runtime.reading import read_object

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")

# What zipfile raises on a member that is damaged, cut short, encrypted or oddly compressed.
BROKEN_MEMBER = (
    zipfile.BadZipFile,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    zlib.error,
)

# A larger file in an archive is taken for an attack on memory, not for an image or a table.
MEMBER_BYTES = 256 << 20

# Methods of compression that zipfile reads, and the names of those that it does not.
_READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_UNREADABLE = {9: "Deflate64", 93: "Zstandard", 95: "XZ", 96: "JPEG", 97: "WavPack", 98: "PPMd"}

_CHUNK = 1 << 20

_FIX = "run `dvc repro --force download`"


def import_dataset(source: Path, folder: Path) -> None:
    """Bring the images and annotations at `source` into `folder`, in the layout of CelebA.

    Args:
        source: absolute path of a zip archive, whose annotation files stand beside or inside it,
            or of a folder. In a folder, `img_align_celeba.zip` goes before any other archive and
            before loose images; and if there is a folder `img_align_celeba`, only the loose
            images in it count.
        folder: gets `img_align_celeba.zip` (a copy of the archive, or the loose images packed,
            the same bytes for the same images), the annotation files that there are, under
            their own names, and `source.json` with the digest of what was read.

    Raises:
        UserError: there is nothing at `source`, no image, more than one candidate, or something
            that cannot be read.
    """
    inputs = _find(source)
    note = {"source": "local", "path": str(source), "digest": _digest(inputs)}
    if inputs.archive is None:
        _pack(inputs.images, folder / ARCHIVE)
    else:
        _copy(inputs.archive, folder / ARCHIVE)
        for name, content in _annotations_inside(inputs.archive, inputs.annotations):
            write_bytes(folder / name, content)
    for name, path in inputs.annotations.items():
        _copy(path, folder / name)
    write_json(folder / SOURCE_FILE, note)


def digest_of(source: Path) -> str:
    """Return a sha256 over the names and contents of all that `import_dataset` would read.

    Raises:
        UserError: as `import_dataset`.
    """
    return _digest(_find(source))


def warn_if_changed(folder: Path) -> str | None:
    """Return one line if the source that `folder` was imported from is not what it was.

    None if it is unchanged, or if `folder` was not imported from a local source. Reads all of
    the source.
    """
    note = read_object(folder / SOURCE_FILE, fix=_FIX)
    if note.get("source") != "local":
        return None
    path, digest = note.get("path"), note.get("digest")
    if not isinstance(path, str):
        raise UserError(f"{folder / SOURCE_FILE}: has no path; {_FIX}")
    try:
        if digest_of(Path(path)) == digest:
            return None
        change = f"{path} has changed since it was imported"
    except UserError as error:
        change = f"what was imported cannot be compared any more ({error})"
    return f"{change}; the copy in {folder} is used; to refresh it: dvc repro --force download"


def is_image(name: str) -> bool:
    """Tell whether a file of this path is an image, by its suffix, and not a hidden file.

    What macOS puts beside the files of an archive (`__MACOSX/._a.jpg`) is not an image.
    """
    return name.lower().endswith(IMAGE_SUFFIXES) and not _is_hidden(name)


def _is_hidden(name: str) -> bool:
    return any(
        part == "__MACOSX" or (part.startswith(".") and part not in (".", ".."))
        for part in name.split("/")
    )


@dataclass(frozen=True)
class _Inputs:
    """What is read: an archive or images, and annotations; all by their name once imported."""

    archive: Path | None
    images: dict[str, Path]
    annotations: dict[str, Path]


def _find(source: Path) -> _Inputs:
    try:
        return _found(source)
    except OSError as error:
        raise UserError(f"download.path: {source} cannot be read: {reason_of(error)}") from None


def _found(source: Path) -> _Inputs:
    if source.is_file():
        if source.suffix.lower() != ".zip":
            raise UserError(f"download.path: {source} is neither a folder nor a .zip archive")
        beside = (path for path in source.parent.iterdir() if path.suffix in (".txt", ".csv"))
        files = list(filter(_can_be_read, beside))
        archive: Path | None = source
        images: dict[str, Path] = {}
    elif source.is_dir():
        files = sorted(_walk(source))
        images = _loose_images(source, files)
        archive = _only_archive(source, files, images)
    else:
        raise UserError(f"download.path: there is no file or folder {source}")
    annotations = _annotations_among(files)
    if archive is not None:
        images = {}
        _check_archive(archive, annotations)
    elif not images:
        raise UserError(
            f"download.path: {source} holds no .zip archive and no images "
            f"({' '.join(IMAGE_SUFFIXES)})"
        )
    return _Inputs(archive, images, annotations)


def _walk(folder: Path) -> Iterator[Path]:
    """Yield every file below `folder`, hidden files and folders left out."""

    def refuse(error: OSError) -> None:
        raise UserError(f"download.path: {error.filename} cannot be read: {reason_of(error)}")

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(place, name) for name in names if not name.startswith("."))
        yield from filter(_can_be_read, paths)


def _can_be_read(path: Path) -> bool:
    # Opening a pipe would wait for ever. A link to nothing stays, to be named when it is read.
    return path.is_file() or not path.exists()


def _loose_images(source: Path, files: Iterable[Path]) -> dict[str, Path]:
    images = {}
    for path in files:
        name = path.relative_to(source).as_posix()
        if is_image(name):
            images[name] = path
    aligned = {
        name: path
        for name, path in images.items()
        if ARCHIVE_FOLDER in PurePosixPath(name).parent.parts
    }
    return aligned or images


def _only_archive(source: Path, files: Iterable[Path], images: dict[str, Path]) -> Path | None:
    archives = [path for path in files if path.suffix.lower() == ".zip"]
    named = [path for path in archives if path.name == ARCHIVE]
    if len(named) == 1:
        return named[0]
    if len(archives) > 1:
        raise UserError(
            f"download.path: {source} holds {len(archives)} archives and not exactly one "
            f"{ARCHIVE} among them: give the path of the one to use"
        )
    if archives and images:
        raise UserError(
            f"download.path: {source} holds images and the archive {archives[0].name}: give the "
            "path of the archive, or of a folder without it"
        )
    return archives[0] if archives else None


def _check_archive(path: Path, known: Container[str]) -> None:
    """Raise UserError if the directory of an archive tells that it cannot be used.

    Of its annotation files, those of a kind that is `known` from beside it are not used.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except BROKEN_MEMBER as error:
        raise UserError(
            f"download.path: {path} is not a readable zip archive: {reason_of(error)}"
        ) from None
    images = [member for member in members if is_image(member.filename)]
    if not images:
        raise UserError(f"download.path: {path} holds no images ({' '.join(IMAGE_SUFFIXES)})")
    for member in [*images, *_tables(path, members, known).values()]:
        place = f"download.path: {path}: {member.filename}"
        if member.flag_bits & 1:
            raise UserError(f"{place} is encrypted: pack the archive again, without a password")
        if member.compress_type not in _READABLE:
            method = _UNREADABLE.get(member.compress_type, f"method {member.compress_type}")
            raise UserError(
                f"{place} is compressed with {method}, which cannot be read here: pack the archive "
                "again with the method Deflate, or give the folder of its unpacked images"
            )


def _is_table(name: str, kinds: Iterable[tuple[str, ...]] = ANNOTATION_FILES) -> bool:
    return any(name in names for names in kinds)


def _annotations_among(files: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in files:
        if not _is_table(path.name):
            continue
        if path.name in found:
            raise UserError(
                f"download.path: there are two {path.name}: {found[path.name]} and {path}"
            )
        found[path.name] = path
    return {name: found[name] for name in _chosen(found, ANNOTATION_FILES)}


def _tables(
    archive: Path, members: Iterable[zipfile.ZipInfo], known: Container[str]
) -> dict[str, zipfile.ZipInfo]:
    """Return the annotation files in an archive, as Kaggle ships them, one of each kind.

    Kinds of annotation that are `known` from beside the archive are left out.
    """
    unknown = [names for names in ANNOTATION_FILES if not any(name in known for name in names)]
    found: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        name = PurePosixPath(member.filename).name
        if member.is_dir() or _is_hidden(member.filename) or not _is_table(name, unknown):
            continue
        if name in found:
            raise UserError(
                f"download.path: there are two {name} in {archive}: {found[name].filename} and "
                f"{member.filename}"
            )
        if member.file_size > MEMBER_BYTES:
            raise UserError(
                f"download.path: {archive}: {member.filename} has {member.file_size} bytes, more "
                f"than {MEMBER_BYTES}"
            )
        found[name] = member
    return {name: found[name] for name in _chosen(found, unknown)}


def _annotations_inside(archive: Path, known: Container[str]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the annotation files in an archive, see `_tables`."""
    with zipfile.ZipFile(archive) as file:
        for name, member in _tables(archive, file.infolist(), known).items():
            try:
                yield name, file.read(member)
            except BROKEN_MEMBER as error:
                raise UserError(
                    f"download.path: {archive}: {member.filename} cannot be read: "
                    f"{reason_of(error)}"
                ) from None


def _chosen(present: Container[str], kinds: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the file to read of each kind of annotation, of those that are present."""
    choices = (next((name for name in names if name in present), None) for names in kinds)
    return [name for name in choices if name is not None]


def _digest(inputs: _Inputs) -> str:
    files = inputs.images | inputs.annotations
    if inputs.archive is not None:
        files[ARCHIVE] = inputs.archive
    digest = hashlib.sha256()
    with _bar("checking", files.values()) as bar:
        for name in sorted(files):
            content = hashlib.sha256()
            for chunk in _chunks(files[name], bar):
                content.update(chunk)
            digest.update(f"{name}\0{content.hexdigest()}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _copy(path: Path, target: Path) -> None:
    with (
        _bar("copying", [path]) as bar,
        atomic_path(target) as temporary,
        temporary.open("wb") as copy,
    ):
        for chunk in _chunks(path, bar):
            copy.write(chunk)


def _pack(images: dict[str, Path], target: Path) -> None:
    """Pack images into a zip whose bytes depend on their names and contents alone."""
    with (
        _bar("packing", images.values()) as bar,
        atomic_path(target) as temporary,
        zipfile.ZipFile(temporary, "w") as archive,
    ):
        for name, path in sorted(images.items()):
            try:
                member = zipfile.ZipInfo(name.encode("utf-8").decode("utf-8"))
            except UnicodeEncodeError:
                raise UserError(f"download.path: the name {name!r} is not valid UTF-8") from None
            member.external_attr = 0o644 << 16
            member.create_system = 3
            archive.writestr(member, b"".join(_chunks(path, bar)))


def _bar(label: str, paths: Iterable[Path]) -> "tqdm[NoReturn]":
    # Small data sets are done within the delay, and show no bar. A file that cannot be found is
    # named when it is read.
    total = sum(path.stat().st_size for path in paths if path.exists())
    return tqdm(total=total, desc=label, unit="B", unit_scale=True, unit_divisor=1024, delay=1)


def _chunks(path: Path, bar: "tqdm[NoReturn]") -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                bar.update(len(chunk))
                yield chunk
    except OSError as error:
        raise UserError(f"download.path: {path} cannot be read: {reason_of(error)}") from None
