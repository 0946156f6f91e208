"""How fast images become shards, and in how much memory: `python -m tests.benchmarks.prepare`.

FOLDER holds CelebA's `img_align_celeba.zip`, or a part of it, with its annotation files. Printed
are, for each way to resize, the images a second of one processor and the PSNR against Lanczos;
and the speed of the whole path. With --images 202599 an archive of that size is made first, in
a temporary folder, of the members of FOLDER's under new names, and peak memory is printed.

OpenCV's decoder is no choice for files from anywhere, as fast as it is: of 59,000 real and made
JPEGs damaged at random it took 765 that Pillow refuses, and printed warnings. simplejpeg took none
of 150,000 such, and gives the same pixels as Pillow for all of 16,384 real ones.
"""

import argparse
import io
import multiprocessing
import random
import resource
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from celeba_vae.faces.annotations import ANNOTATION_FILES
from celeba_vae.faces.layout import ARCHIVE, ARCHIVE_FOLDER, SOURCE_FILE
from celeba_vae.faces.local import is_image
from celeba_vae.params import PrepareParams, load_params
from celeba_vae.runtime.processes import resident_bytes
from celeba_vae.shards.transform import FILTERS, crop_box, to_square
from celeba_vae.shards.write import write_shards

SAMPLE, ROUNDS, SIZE, CROP = 1_000, 3, 96, 148
SAMPLED_EVERY = 0.5  # seconds


def cut(pixels: np.ndarray) -> np.ndarray:
    """Return the centred square of a decoded image."""
    left, top, right, bottom = crop_box(pixels.shape[1], pixels.shape[0], CROP)
    return pixels[top:bottom, left:right]


def area(pixels: np.ndarray) -> np.ndarray:
    """Cut and resize a decoded image as the filter area does."""
    resized = cv2.resize(cut(pixels), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(resized)


def reduced_gap(content: bytes) -> np.ndarray:
    """Resize in two steps: Pillow's, which first averages whole pixels where that is enough."""
    square = Image.fromarray(cut(simplejpeg.decode_jpeg(content)))
    return np.asarray(square.resize((SIZE, SIZE), FILTERS["lanczos"], reducing_gap=1.0))


def box_then_lanczos(content: bytes) -> np.ndarray:
    """Average to 5/4 of the size, then resize."""
    square = Image.fromarray(cut(simplejpeg.decode_jpeg(content)))
    square = square.resize((120, 120), FILTERS["box"])
    return np.asarray(square.resize((SIZE, SIZE), FILTERS["lanczos"]))


def decoded_at(eighths: int, content: bytes) -> np.ndarray:
    """Decode at a fraction of the size, then resize what is left."""
    height, width, _, _ = simplejpeg.decode_jpeg_header(content)
    at_least = {"min_height": height * eighths // 8, "min_width": width * eighths // 8}
    pixels = simplejpeg.decode_jpeg(content, **at_least)
    left, top, right, bottom = (side * eighths / 8 for side in crop_box(width, height, CROP))
    box = (left, top, right, bottom)
    square = Image.fromarray(pixels).resize((SIZE, SIZE), FILTERS["bicubic"], box=box)
    return np.asarray(square)


def candidates() -> dict[str, Callable[[bytes], np.ndarray]]:
    """Return every way to make a square: the filters of prepare.filter, then what it might be."""
    filtered: dict[str, Callable[[bytes], np.ndarray]] = {
        name: partial(to_square, size=SIZE, crop=CROP, filter=name) for name in sorted(FILTERS)
    }
    return filtered | {
        "area, Pillow decodes": lambda content: area(np.asarray(Image.open(io.BytesIO(content)))),
        "area, OpenCV decodes": lambda content: area(
            np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB))
        ),
        "area, fast DCT": lambda content: area(simplejpeg.decode_jpeg(content, fastdct=True)),
        "lanczos, gap 1": reduced_gap,
        "box, then lanczos": box_then_lanczos,
        "6/8, then bicubic": partial(decoded_at, 6),
        "4/8, then bicubic": partial(decoded_at, 4),
    }


def psnr_db(first: np.ndarray, second: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of two images, at most 99 dB."""
    error = np.mean((first.astype(float) - second) ** 2)
    return min(99.0, float(10 * np.log10(255**2 / error))) if error else 99.0


def compare(archive: Path) -> None:
    """Print speed and PSNR of each candidate over the same faces, in alternation."""
    with zipfile.ZipFile(archive) as file:
        names = [name for name in file.namelist() if is_image(name)]
        names = random.Random(0).sample(names, min(SAMPLE, len(names)))
        contents = [file.read(name) for name in names]
    ways = candidates()
    reference = [ways["lanczos"](content) for content in contents]
    seconds = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.process_time()
            for content in contents:
                way(content)
            seconds[name] = min(seconds[name], time.process_time() - start)
    print(f"{'':20}images/s a processor   PSNR mean, worst (dB) of {len(contents)} images")
    for name, way in ways.items():
        ratios = [
            psnr_db(way(content), expected)
            for content, expected in zip(contents, reference, strict=True)
        ]
        rate = len(contents) / seconds[name]
        print(f"{name:20}{rate:>20,.0f}   {np.mean(ratios):.1f}, {min(ratios):.1f}")


def make_raw(source: Path, folder: Path, images: int | None) -> int:
    """Make what the stage download leaves, and return the number of images in it.

    The archive is `source`'s, or one of `images` members which repeat it.
    """
    for name in (name for kind in ANNOTATION_FILES for name in kind):
        if (source / name).exists():
            shutil.copy(source / name, folder)
    (folder / SOURCE_FILE).write_text("{}")
    with zipfile.ZipFile(source / ARCHIVE) as original:
        members = [name for name in original.namelist() if is_image(name)]
        if images is None:
            (folder / ARCHIVE).symlink_to((source / ARCHIVE).resolve())
            return len(members)
        with zipfile.ZipFile(folder / ARCHIVE, "w") as archive:
            for number in range(images):
                content = original.read(members[number % len(members)])
                archive.writestr(f"{ARCHIVE_FOLDER}/{number + 1:06d}.jpg", content)
    return images


def anonymous_bytes(process: int) -> int:
    """Return the anonymous memory of a process and all below it, now."""
    parents: dict[int, int] = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            stat = (place / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(place.name)] = int(stat.rpartition(")")[2].split()[1])
    tree = [process]
    for member in tree:
        tree += [child for child, parent in parents.items() if parent == member]
    return sum(resident_bytes(member)[0] for member in tree)


def processor_seconds() -> float:
    """Return what the ended processes below this one have used, which other load hardly moves."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def write_all(raw: Path, shards: Path, params: PrepareParams) -> None:
    """Run the stage; where multiprocessing can import it."""
    write_shards(raw, shards, params=params, workers=None)


def whole_path(source: Path, images: int | None, params: PrepareParams) -> None:
    """Print the speed of `write_shards` in a process of its own, and its peak memory."""
    with tempfile.TemporaryDirectory() as temporary:
        raw, shards = Path(temporary, "raw"), Path(temporary, "shards")
        raw.mkdir()
        count = make_raw(source, raw, images)
        process = multiprocessing.get_context("spawn").Process(
            target=write_all, args=(raw, shards, params)
        )
        start, busy = time.perf_counter(), processor_seconds()
        process.start()
        peak, pixels_from = 0, start
        while process.is_alive():
            peak = max(peak, anonymous_bytes(process.pid or 0))
            if not shards.exists():
                pixels_from = time.perf_counter()
            process.join(SAMPLED_EVERY)
        end, busy = time.perf_counter(), processor_seconds() - busy
        if process.exitcode:
            raise SystemExit("write_shards has failed")
    print(
        f"{params.filter}: {count:,} images in {end - start:.1f} s, {count / (end - start):,.0f} "
        f"images/s with start and annotations, {count / (end - pixels_from):,.0f} images/s from "
        f"the first finished task on; {busy / count * 1e6:,.0f} us of a processor for each, "
        f"all included; at most {peak / 1e6:,.0f} MB of anonymous memory"
    )


def main() -> None:
    """Compare the candidates, then measure the default and Lanczos; or the default at a size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int)
    arguments = parser.parse_args()
    params = load_params().prepare
    if arguments.images is not None:
        whole_path(arguments.folder, arguments.images, params)
        return
    compare(arguments.folder / ARCHIVE)
    for name in (params.filter, "lanczos"):
        whole_path(arguments.folder, None, params.model_copy(update={"filter": name}))


if __name__ == "__main__":
    main()
