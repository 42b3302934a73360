"""Image file → upright RGB array, as the editor shows it, in bounded memory.

JPEG goes through simplejpeg (bit-identical to Pillow with these settings, faster); everything else through Pillow.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from sam2_backend.problems import Problem

JPEG_MAGIC = b"\xff\xd8\xff"
EXIF_ORIENTATION = 0x0112
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "ICO", "AVIF")

# The limit below is checked on the header, before any pixel is decoded; Pillow's own would only warn.
Image.MAX_IMAGE_PIXELS = None
ImageFile.LOAD_TRUNCATED_IMAGES = False


@dataclass(frozen=True, slots=True)
class Upright:
    """pixels: (height, width, 3) uint8 RGB with EXIF orientation applied."""

    pixels: NDArray[np.uint8]

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])


def read_image(data: bytes, max_pixels: int) -> Upright:
    """Raises Problem (422) for anything that is no image, is cut off, or has more than `max_pixels` pixels."""
    refuse_web_page(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise Problem(
                        422,
                        "image",
                        f"The image is {width}x{height}, {width * height / 1e6:.0f} megapixels; the limit is "
                        f"{max_pixels / 1e6:.0f}. Raise MAX_IMAGE_PIXELS of the backend or shrink the image.",
                    )
                return Upright(_pixels(image, data))
    except Problem:
        raise
    except MemoryError:
        raise Problem(507, "image", "Not enough memory to decode the image.") from None
    except Exception as error:
        unknown = isinstance(error, UnidentifiedImageError)
        detail = "cannot identify its format" if unknown else " ".join(str(error).split())[:120]
        raise Problem(
            422,
            "image",
            f"The file is not an image that can be read ({len(data)} bytes): {detail or type(error).__name__}.",
        ) from None


def refuse_web_page(data: bytes) -> None:
    """A sign-in page instead of the image is the commonest result of a wrong or missing token."""
    start = data[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or (
        start[:5] == b"<?xml" and b"<html" in start
    ):
        raise Problem(
            502,
            "fetch",
            "Got a web page (probably a sign-in page) instead of the image: set LABEL_STUDIO_API_KEY to a personal "
            "access token of a user who may see the project.",
        )


def _pixels(image: Image.Image, data: bytes) -> NDArray[np.uint8]:
    orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    if data.startswith(JPEG_MAGIC) and image.mode in ("RGB", "L"):
        try:
            decoded = simplejpeg.decode_jpeg(data, colorspace="RGB", fastdct=False, fastupsample=False)
        except ValueError:
            image.load()  # says more clearly what is wrong, or can read what libjpeg-turbo's strict mode cannot
        else:
            return _upright(decoded, orientation)
    return np.ascontiguousarray(np.asarray(ImageOps.exif_transpose(_to_rgb(image))))


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB of the same picture: 16 bit and float stretched to 8, transparency on white as browsers' canvases show it."""
    exif = image.getexif()
    if image.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I", "F"):
        converted = Image.fromarray(_to_8_bit(np.asarray(image))).convert("RGB")
    elif image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layered = image.convert("RGBA")
        converted = Image.new("RGB", image.size, (255, 255, 255))
        converted.paste(layered, mask=layered.getchannel("A"))
    else:
        converted = image.convert("RGB")
    if orientation := exif.get(EXIF_ORIENTATION):
        converted.getexif()[EXIF_ORIENTATION] = orientation
    return converted


def _to_8_bit(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Stretches a scientific image's own range: detectors rarely use all of 16 bits."""
    numbers = values.astype(np.float32)
    finite = numbers[np.isfinite(numbers)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if high <= low:
        return np.zeros(numbers.shape, np.uint8)
    scaled = (np.nan_to_num(numbers, nan=low, posinf=high, neginf=low) - low) * (255.0 / (high - low))
    return np.clip(scaled + 0.5, 0, 255).astype(np.uint8)


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """The eight EXIF orientations as flips and transposes."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
