"""YOLO's boxes: a text file for each image, each line `class x y width height [score]`, where x and y are the middle
and all four are shares of the image. Which class has which name stands in Ultralytics' data.yaml, or in classes.txt, a
name a line (https://docs.ultralytics.com/datasets/detect/).
"""

from __future__ import annotations

from pathlib import Path

import yaml

from samstudio.datasets import Box, Dataset, Listed
from samstudio.errors import NothingToLookAt, WrongCommandLine
from samstudio.labelstudio.storage import images_in


def read(names: Path, folder: Path) -> Dataset:
    """Every image of a folder, with the boxes of its text file; one without a text file has no boxes.

    Args:
        names: the file with the names of the classes.

    Raises:
        WrongCommandLine: that file cannot be read.
        NothingToLookAt: no image has a text file.
    """
    known = _names(names)
    dataset = Dataset(names.name, [])
    described = 0
    for image in images_in(folder)[0]:
        listed = Listed(image.relative_to(folder).as_posix(), None)
        dataset.images.append(listed)
        text = next((each for each in _beside(image) if each.is_file()), None)
        if text is None:
            continue
        described += 1
        for number, line in enumerate(text.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if not line.strip():
                continue
            try:
                listed.boxes.append(_box(line, known))
            except ValueError as error:
                listed.problems.append(f"line {number} of {text.name}: {error}")
    if not described:
        example = folder / (dataset.images[0].file if dataset.images else "1.jpg")
        raise NothingToLookAt(
            f"No image in {folder} has a text file with its boxes.",
            found=f"{len(dataset.images)} images",
            expected=" or ".join(str(each) for each in _beside(example)),
            command=f"ls {folder}",
        )
    return dataset


def _beside(image: Path) -> list[Path]:
    """Where the text file may be: below labels/ in place of the last images/, or beside the image."""
    parts = list(image.parts)
    places = [image.with_suffix(".txt")]
    if "images" in parts[:-1]:
        last = len(parts) - 2 - parts[-2::-1].index("images")
        places.insert(0, Path(*parts[:last], "labels", *parts[last + 1 :]).with_suffix(".txt"))
    return places


def _box(line: str, names: dict[int, str]) -> Box:
    words = line.split()
    if len(words) not in (5, 6):
        raise ValueError(f"it has {len(words)} numbers; a box has 5, or 6 with a score.")
    try:
        number, x, y, width, height = int(float(words[0])), *map(float, words[1:5])
        score = float(words[5]) if len(words) == 6 else None
    except (ValueError, OverflowError):
        raise ValueError(f"{line.strip()[:60]!r} are not numbers.") from None
    if number not in names:
        raise ValueError(f"class {number} has no name.")
    return Box(names[number], x - width / 2, y - height / 2, width, height, score)


def _names(file: Path) -> dict[int, str]:
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix not in (".yaml", ".yml"):
            return {number: line.strip() for number, line in enumerate(text.splitlines()) if line.strip()}
        names = yaml.safe_load(text)["names"]
        return {
            int(number): str(name) for number, name in (names.items() if isinstance(names, dict) else enumerate(names))
        }
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise WrongCommandLine(
            f"{file} cannot be read as the names of YOLO's classes.",
            found=f"{type(error).__name__}: {error}",
            expected="a data.yaml with names:, or a text file with a name a line",
            command="samstudio masks --yolo data.yaml --images DIR",
        ) from error
