"""The drawings that travel with the demo model: `python -m demo_training.samples` writes them."""

from __future__ import annotations

import numpy as np
from PIL import Image
from sam2_backend.demo import SAMPLES

from demo_training.drawings import draw

SIDE = 512  # pixels


def sample(number: int) -> Image.Image:
    return Image.fromarray(draw(np.random.default_rng(number), SIDE).image)


if __name__ == "__main__":
    for number, path in enumerate(SAMPLES):
        sample(number).save(path, "JPEG", quality=92)
