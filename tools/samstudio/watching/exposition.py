"""Gauges as Prometheus reads them from a file.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_SAMPLE = re.compile(r"(?P<name>[a-z_]+)(?:{(?P<labels>.*)})? (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = {"\\": r"\\", '"': r"\"", "\n": r"\n"}


@dataclass(frozen=True)
class Sample:
    """A gauge's value. Moments are seconds since 1970, 0 for never."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


def render(samples: Iterable[Sample], helps: Mapping[str, str]) -> str:
    """Every sample below its metric's help and type, the metrics in the order of `helps`.

    Args:
        helps: a sentence for each metric.

    Raises:
        KeyError: a sample's metric has no help.
    """
    lines: dict[str, list[str]] = {name: [] for name in helps}
    for sample in samples:
        labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(sample.labels.items()))
        value = f"{sample.value:.6f}".rstrip("0").rstrip(".")
        lines[sample.name].append(f"{sample.name}{f'{{{labels}}}' if labels else ''} {value}")
    told = [
        f"# HELP {name} {helps[name]}\n# TYPE {name} gauge\n" + "\n".join(each) for name, each in lines.items() if each
    ]
    return "\n".join([*told, ""])


def read(file: Path) -> list[Sample]:
    """The samples that `render` wrote there; none where there is no such file."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    found = [match for line in text.splitlines() if (match := _SAMPLE.fullmatch(line))]
    return [Sample(each["name"], float(each["value"]), dict(_LABEL.findall(each["labels"] or ""))) for each in found]


def _escaped(value: str) -> str:
    return "".join(_ESCAPED.get(character, character) for character in value)
