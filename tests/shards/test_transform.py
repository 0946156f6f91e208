import io
import os
import struct
import subprocess
import sys
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from celeba_vae.shards.transform import FILTERS, BadImage, crop_box, decode, to_square

RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def quadrants(width: int, height: int) -> Image.Image:
    """Red, green / blue, yellow, meeting in the middle."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (width // 2, 0, width, height))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    image.paste(YELLOW, (width // 2, height // 2, width, height))
    return image


def square(
    content: bytes, size: int = 16, crop: int | None = None, filter: str = "lanczos"
) -> np.ndarray:
    pixels = to_square(content, size=size, crop=crop, filter=filter)
    assert pixels.shape == (size, size, 3)
    assert pixels.dtype == np.uint8
    return pixels


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def test_the_box_of_a_celeba_frame() -> None:
    assert crop_box(178, 218, 148) == (15, 35, 163, 183)
    assert crop_box(178, 218, 178) == (0, 20, 178, 198)


def test_the_box_of_other_frames_is_the_same_fraction_of_the_shorter_side() -> None:
    # 200 * 148 / 178 = 166.3; 50 * 148 / 178 = 41.6
    assert crop_box(300, 200, 148) == (67, 17, 233, 183)
    assert crop_box(50, 80, 148) == (4, 19, 46, 61)


@given(st.integers(8, 5000), st.integers(8, 5000), st.integers(1, 178))
def test_the_box_is_a_centred_square_inside_the_frame(width: int, height: int, crop: int) -> None:
    left, top, right, bottom = crop_box(width, height, crop)
    side = right - left
    assert side == bottom - top >= 1
    assert left >= 0
    assert top >= 0
    assert right <= width
    assert bottom <= height
    assert abs(left - (width - right)) <= 1
    assert abs(top - (height - bottom)) <= 1
    assert side == 1 or abs(side - min(width, height) * crop / 178) <= 0.5


@pytest.mark.parametrize(("width", "height"), [(178, 218), (300, 200), (50, 80), (64, 64)])
@pytest.mark.parametrize("crop", [148, None])
@pytest.mark.parametrize("filter", FILTERS)
def test_the_middle_stays_the_middle(
    width: int, height: int, crop: int | None, filter: str
) -> None:
    pixels = square(encoded(quadrants(width, height)), crop=crop, filter=filter)
    for row, column, colour in [(2, 2, RED), (2, 13, GREEN), (13, 2, BLUE), (13, 13, YELLOW)]:
        assert pixels[row, column].tolist() == list(colour)


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("size", [96, 200])
def test_nothing_outside_of_the_crop_reaches_the_square(size: int, filter: str) -> None:
    image = Image.new("RGB", (178, 218), RED)
    image.paste(BLUE, (15, 35, 163, 183))
    assert (square(encoded(image), size=size, crop=148, filter=filter) == BLUE).all()


@pytest.mark.parametrize("filter", FILTERS)
def test_a_crop_of_the_wanted_size_is_copied_exactly(filter: str) -> None:
    image = noise(178, 218)
    expected = np.asarray(image)[35:183, 15:163]
    assert np.array_equal(square(encoded(image), size=148, crop=148, filter=filter), expected)


@pytest.mark.parametrize("filter", FILTERS)
def test_an_empty_crop_squeezes_the_whole_frame(filter: str) -> None:
    image = Image.new("RGB", (40, 80), RED)
    image.paste(BLUE, (0, 0, 40, 40))
    pixels = square(encoded(image), filter=filter)
    assert (pixels[:5] == BLUE).all()
    assert (pixels[11:] == RED).all()


@pytest.mark.parametrize("filter", ["box", "area"])
def test_box_and_area_average(filter: str) -> None:
    image = noise(32, 32)
    blocks = np.asarray(image).reshape(8, 4, 8, 4, 3).mean((1, 3))
    assert np.abs(square(encoded(image), size=8, filter=filter) - blocks).max() <= 1


def shares(pixels: int, size: int) -> np.ndarray:
    """How much of each of `size` equal parts of a line of pixels each pixel is, (size, pixels)."""
    part = pixels / size
    starts = part * np.arange(size)[:, None]
    covered = np.minimum(starts + part, np.arange(1, pixels + 1)) - np.maximum(
        starts, np.arange(pixels)
    )
    return np.asarray(covered.clip(0) / part)


@pytest.mark.parametrize(("width", "height"), [(40, 50), (178, 218), (33, 200), (32, 32)])
def test_area_averages_what_a_pixel_covers_also_of_a_squeezed_frame(
    width: int, height: int
) -> None:
    image = noise(width, height)
    expected = np.einsum(
        "yh,xw,hwc->yxc", shares(height, 32), shares(width, 32), np.asarray(image, float)
    )
    pixels = square(encoded(image), size=32, filter="area")
    assert np.abs(pixels - expected).max() < 0.51


@pytest.mark.parametrize(("width", "height"), [(20, 30), (20, 90), (90, 31)])
def test_where_a_side_must_grow_area_is_bicubic(width: int, height: int) -> None:
    content = encoded(noise(width, height))
    grown, bicubic = (square(content, size=32, filter=name) for name in ("area", "bicubic"))
    assert np.array_equal(grown, bicubic)


def test_area_starts_no_threads() -> None:
    before = sorted(Path("/proc/self/task").iterdir())
    square(encoded(noise(2100, 2100), "BMP"), size=1024, filter="area")
    assert sorted(Path("/proc/self/task").iterdir()) == before


DIGEST = """
import hashlib, sys
from celeba_vae.shards.transform import to_square
digest = hashlib.sha256()
for path in sys.argv[1:]:
    content = open(path, "rb").read()
    for size, crop in [(96, 148), (64, 148), (74, 148), (96, None), (200, 100)]:
        digest.update(to_square(content, size=size, crop=crop, filter="area").tobytes())
print(digest.hexdigest())
"""


def test_other_processors_give_the_same_bytes(tmp_path: Path) -> None:
    contents = {
        "noise.png": encoded(noise(178, 218)),
        "noise.jpg": encoded(noise(178, 218, seed=1), "JPEG", quality=90),
        "smooth.jpg": encoded(noise(9, 11).resize((178, 218)), "JPEG"),
        "large.jpg": encoded(noise(53, 41).resize((531, 417)), "JPEG"),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    # What OpenCV, the library in it that Intel wrote, and libjpeg-turbo would do without.
    older = {
        "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX2,FMA3,AVX,FP16",
        "OPENCV_IPP": "sse42",
        "JSIMD_FORCENONE": "1",
    }
    oldest = older | {"OPENCV_CPU_DISABLE": older["OPENCV_CPU_DISABLE"] + ",SSE4.2,SSE4.1,SSSE3"}
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST, *(tmp_path / name for name in contents)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | without,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for without in ({}, older, oldest)
    }
    assert len(digests) == 1


def test_filters_differ() -> None:
    content = encoded(noise(178, 218))
    results = {to_square(content, size=96, crop=148, filter=name).tobytes() for name in FILTERS}
    assert len(results) == len(FILTERS)


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "1", "LA", "RGBA", "YCbCr"])
def test_what_is_not_rgb_is_converted(mode: str) -> None:
    kind = {"CMYK": "JPEG", "YCbCr": "JPEG"}.get(mode, "PNG")
    image = Image.new("RGB", (32, 32), "white").convert(mode)
    assert (square(encoded(image, kind)) == 255).all()
    grey = Image.new("RGB", (32, 32), (0, 0, 0)).convert(mode)
    assert (square(encoded(grey, kind)) == 0).all()


def test_colours_survive_cmyk_and_palette() -> None:
    image = quadrants(32, 32)
    expected = np.asarray(image)[::2, ::2].astype(int)
    inside = np.abs(np.arange(16) - 7.5) > 3
    for content in (
        encoded(image.convert("CMYK"), "JPEG", quality=100, subsampling=0),
        encoded(image.convert("P", palette=Image.Palette.ADAPTIVE)),
        encoded(image, "GIF"),
        encoded(image, "WEBP", lossless=True),
        encoded(image, "BMP"),
        encoded(image, "TIFF"),
    ):
        difference = np.abs(square(content) - expected)[np.ix_(inside, inside)]
        assert difference.max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_of_16_bits_the_upper_8_are_kept(kind: str) -> None:
    ramp = (np.arange(256, dtype=np.uint16) << 8 | 255).reshape(16, 16)
    pixels = square(encoded(Image.fromarray(ramp), kind))
    assert np.array_equal(pixels, np.arange(256).reshape(16, 16, 1).repeat(3, axis=2))


def test_what_is_transparent_is_laid_on_white() -> None:
    image = Image.new("RGBA", (16, 16), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 16, 8))
    image.paste((0, 0, 0, 128), (0, 12, 16, 16))
    pixels = square(encoded(image))
    assert (pixels[:8] == 255).all()
    assert (pixels[8:12] == RED).all()
    assert (pixels[12:] == 127).all()


@pytest.mark.parametrize("transparency", [0, bytes([0, 255])])
def test_a_transparent_palette_entry_is_white(transparency: int | bytes) -> None:
    image = Image.new("P", (16, 16), 0)
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.paste(1, (0, 8, 16, 16))
    pixels = square(encoded(image, transparency=transparency))
    assert (pixels[:8] == 255).all()
    assert (pixels[8:] == (200, 100, 0)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_rotation_in_exif_is_carried_out(orientation: int) -> None:
    upright = quadrants(32, 16)
    # What a camera stores so that a viewer who obeys the note sees it upright.
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(stored, exif=exif.tobytes())
    assert np.array_equal(square(content, crop=100), square(encoded(upright), crop=100))


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    for kind in ("GIF", "WEBP", "PNG"):
        options = {"lossless": True} if kind == "WEBP" else {}
        content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert (square(content) == RED).all()


def colour16_png() -> bytes:
    """A PNG of 16x16 pixels with 16 bits in each of three channels, all 0xff00."""
    rows = (b"\0" + b"\xff\x00" * 48) * 16
    header = struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def rotated_jpeg() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(Image.new("L", (16, 16)), "JPEG", exif=exif.tobytes())


@pytest.mark.parametrize(
    ("content", "conversions"),
    [
        (encoded(quadrants(16, 16), "JPEG"), []),
        (encoded(Image.new("L", (16, 16)), "JPEG"), ["grey"]),
        (encoded(Image.new("1", (16, 16))), ["grey"]),
        (encoded(Image.new("CMYK", (16, 16)), "JPEG"), ["cmyk"]),
        (encoded(Image.new("P", (16, 16))), ["palette"]),
        (encoded(Image.new("P", (16, 16)), transparency=0), ["palette", "alpha"]),
        (encoded(Image.new("RGBA", (16, 16))), ["alpha"]),
        (encoded(Image.new("LA", (16, 16))), ["grey", "alpha"]),
        (encoded(Image.new("I;16", (16, 16))), ["grey", "16_bit"]),
        (colour16_png(), ["16_bit"]),
        (encoded(Image.new("LAB", (16, 16)), "TIFF"), ["other_colours"]),
        (rotated_jpeg(), ["grey", "rotated"]),
        (
            encoded(
                Image.new("RGB", (16, 16), RED),
                save_all=True,
                append_images=[Image.new("RGB", (16, 16), BLUE)],
            ),
            ["animated"],
        ),
    ],
)
def test_conversions_are_named(content: bytes, conversions: list[str]) -> None:
    image, named = decode(content)
    assert named == conversions
    assert image.shape == (16, 16, 3)
    assert image.dtype == np.uint8


def pillows(content: bytes) -> np.ndarray | None:
    """What Pillow alone reads of a JPEG in colour; None if it refuses it."""
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            return np.asarray(image.convert("RGB"))
    except Exception:
        return None


def assert_as_pillow(content: bytes) -> None:
    expected = pillows(content)
    if expected is None:
        with pytest.raises(BadImage):
            decode(content)
    else:
        assert np.array_equal(decode(content)[0], expected)


JPEGS = st.builds(
    lambda width, height, seed, **options: encoded(noise(width, height, seed), "JPEG", **options),
    st.integers(8, 50),
    st.integers(8, 50),
    st.integers(0, 9),
    quality=st.integers(1, 100),
    subsampling=st.sampled_from([0, 1, 2]),
    progressive=st.booleans(),
    restart_marker_blocks=st.sampled_from([0, 2]),
)


@given(JPEGS)
def test_a_jpeg_is_read_as_pillow_reads_it(content: bytes) -> None:
    assert_as_pillow(content)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_cut_anywhere_is_judged_as_by_pillow(progressive: bool) -> None:
    content = encoded(noise(20, 20), "JPEG", progressive=progressive)
    for length in range(1, len(content)):
        assert_as_pillow(content[:length])


@given(JPEGS, st.integers(0, 3000), st.binary(max_size=3), st.integers(0, 3))
def test_a_damaged_jpeg_is_judged_as_by_pillow(
    content: bytes, place: int, junk: bytes, replaced: int
) -> None:
    damaged = content[:place] + junk + content[place + replaced :]
    with Image.open(io.BytesIO(content)) as image:
        size = image.size
    with suppress(Exception), Image.open(io.BytesIO(damaged)) as image:
        # Else it is refused, or converted, before a pixel is read.
        if image.size == size and image.mode == "RGB":
            assert_as_pillow(damaged)


@pytest.mark.parametrize("filter", ["area", "hamming"])
def test_the_fast_filters_are_close_to_lanczos(filter: str) -> None:
    # Smooth as a photograph is; the figure for real faces is printed by the benchmark.
    content = encoded(noise(9, 11).resize((178, 218), Image.Resampling.BICUBIC), "JPEG")
    first, second = (
        to_square(content, size=96, crop=148, filter=name).astype(float)
        for name in (filter, "lanczos")
    )
    assert 10 * np.log10(255**2 / ((first - second) ** 2).mean()) > 38


def png_header_of(width: int, height: int) -> bytes:
    """A PNG that announces a size and brings no pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"this is a text named .jpg", "is none of JPEG, PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is none of JPEG, PNG"),
        (encoded(noise(178, 218), "JPEG")[:4000], "truncated"),
        (encoded(noise(178, 218), "JPEG")[:30], "."),
        (encoded(noise(64, 64))[:4000], "truncated"),
        (png_header_of(10_000, 10_000), "has more than 89478485 pixels"),
        (png_header_of(60_000, 60_000), "has more than 89478485 pixels"),
        (encoded(noise(7, 100)), "7x100 pixels are too few"),
        (encoded(Image.new("F", (16, 16)), "TIFF"), "32 bits"),
    ],
)
def test_bad_images_are_refused_with_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(BadImage, match=reason) as error:
        square(content, crop=148)
    assert "\n" not in str(error.value)
    assert "0x" not in str(error.value)


@given(st.binary(max_size=300), st.integers(0, 2000))
def test_damage_never_leads_to_another_error(junk: bytes, place: int) -> None:
    content = encoded(noise(24, 24), "JPEG")
    damaged = content[:place] + junk + content[place + len(junk) :]
    with suppress(BadImage):
        square(damaged)
