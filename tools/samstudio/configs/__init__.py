"""The labeling configs that projects of our own are made with."""

from __future__ import annotations

from importlib.resources import files

#: `quick_start` needs the fewest steps: one shared label, kept from click to click. `tutorial` is the widely known one.
NAMES = ("quick_start", "tutorial")


def read(name: str) -> str:
    return files(__name__).joinpath(f"{name}.xml").read_text(encoding="utf-8")
