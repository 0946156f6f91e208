"""Images decoded, cropped and resized: from the bytes of a file to a square of pixels."""

import io
import warnings
from contextlib import suppress

import cv2
import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from celeba_vae.faces.layout import FRAME_WIDTH

# Named, because Pillow would otherwise also try formats that start other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
# Pillow's filters, all anti-aliased. area is OpenCV's; it shrinks only, and leaves to Pillow's
# bicubic what must grow, where it would make blocks of pixels.
FILTERS = {
    "area": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "hamming": Image.Resampling.HAMMING,
    "bilinear": Image.Resampling.BILINEAR,
    "box": Image.Resampling.BOX,
}
# A frame with a shorter side, in pixels, holds no face.
SHORTEST_SIDE = 8

# What is done to images that are not plain RGB, in the order in which it is reported.
CONVERSIONS = ("grey", "palette", "cmyk", "other_colours", "16_bit", "alpha", "rotated", "animated")
_PLAIN = ("RGB", "RGBA", "RGBX")
_COLOURS = {"P": "palette", "PA": "palette", "CMYK": "cmyk"} | dict.fromkeys(
    ("1", "L", "LA", "I;16", "I;16B", "I;16L"), "grey"
)


class BadImage(ValueError):
    """An image that cannot be used; its text is the reason, in a few words."""


def to_square(content: bytes, *, size: int, crop: int | None, filter: str) -> np.ndarray:
    """Decode an image, cut its centred square and resize it: `decode`, then `cut_square`.

    Returns:
        uint8 (size, size, 3), RGB.

    Raises:
        BadImage: as `decode`.
    """
    image, _ = decode(content)
    return cut_square(image, size=size, crop=crop, filter=filter)


def decode(content: bytes) -> tuple[np.ndarray, list[str]]:
    """Decode the bytes of an image file.

    What Pillow can convert to RGB is converted: grey, palette, CMYK; of 16 bits the upper 8 are
    kept; what is transparent is laid on white; of an animation, or of several pages, the first
    is taken; a rotation noted in EXIF is carried out.

    Returns:
        uint8 (height, width, 3), RGB, read-only or not; and which of `CONVERSIONS` it needed.

    Raises:
        BadImage: the bytes are not, or not completely, an image; or it is too large or small.
    """
    if not content:
        raise BadImage("the file is empty")
    with warnings.catch_warnings():
        # Pillow warns of odd metadata, which no pixel depends on, and of huge images.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image = Image.open(io.BytesIO(content), formats=FORMATS)
            if min(image.size) < SHORTEST_SIDE:
                width, height = image.size
                raise BadImage(f"{width}x{height} pixels are too few")
            conversions = _conversions(image)
            if image.format == "JPEG" and not conversions:
                # The same pixels as Pillow's in half the time. It refuses a file at the least
                # warning, and Pillow then judges whether that is damage.
                with suppress(ValueError):
                    return simplejpeg.decode_jpeg(content, strict=True), conversions
            ImageOps.exif_transpose(image, in_place=True)
            return np.asarray(_to_rgb(image)), conversions
        except (BadImage, MemoryError):
            raise
        except UnidentifiedImageError:
            raise BadImage(f"is none of {', '.join(FORMATS)}") from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise BadImage(f"has more than {Image.MAX_IMAGE_PIXELS} pixels") from None
        except Exception as error:
            # Damaged files lead decoders to errors of any type; none of them is our defect.
            reason = " ".join(str(error).split()) or type(error).__name__
            raise BadImage(reason) from error


def cut_square(image: np.ndarray, *, size: int, crop: int | None, filter: str) -> np.ndarray:
    """Cut the centred square of an RGB image and resize it, anti-aliased.

    Args:
        image: uint8 (height, width, 3), RGB.
        size: side of the result, in pixels.
        crop: side of the square, in pixels of a CelebA frame, see `crop_box`; None squeezes the
            whole frame into the square.
        filter: a key of `FILTERS`. area averages the part of the image that a pixel covers; where
            a side must grow, it is bicubic.

    Returns:
        uint8 (size, size, 3), RGB.
    """
    if crop is not None:
        height, width, _ = image.shape
        left, top, right, bottom = crop_box(width, height, crop)
        image = image[top:bottom, left:right]
    if filter == "area" and min(image.shape[:2]) >= size:
        # Each processor has a worker already.
        cv2.setNumThreads(1)
        return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA))
    return np.asarray(Image.fromarray(image).resize((size, size), FILTERS[filter]))


def crop_box(width: int, height: int, crop: int) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the centred square that is cut from a frame.

    Its side is `crop` pixels of a CelebA frame of 178x218, and the same fraction (crop / 178) of
    the shorter side of any other frame, rounded. All in pixels; right and bottom are exclusive.
    """
    side = max(1, (2 * min(width, height) * crop + FRAME_WIDTH) // (2 * FRAME_WIDTH))
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def _conversions(image: Image.Image) -> list[str]:
    """Return what must be done to an opened image, before its pixels are read."""
    needed = {
        _COLOURS.get(image.mode, "other_colours"): image.mode not in _PLAIN,
        # What Pillow reads of 16 bits in colour is 8 bits at once: only the raw mode tells.
        "16_bit": any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())),
        "alpha": image.has_transparency_data,
        "rotated": image.getexif().get(ExifTags.Base.Orientation) in range(2, 9),
        "animated": getattr(image, "is_animated", False),
    }
    return [name for name in CONVERSIONS if needed.get(name)]


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise BadImage("has pixels of 32 bits, whose white is unknown")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
    return image.convert("RGB")
