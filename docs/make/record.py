"""Records the pictures of the pages: real clicks in a real Label Studio, answered by the real backend.

    SAMSTUDIO_TEST_LABEL_STUDIO=VENV SAMSTUDIO_TEST_BACKEND=VENV PYTHONPATH=tools python -m docs.make.record docs/images

`./test browser` makes both environments, `.cache/label-studio-venv` and `.cache/backend-venv`. Every mask that
is shown was compared with the drawn object first. A click takes as long in the picture as it took while recording.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from docs.make import story, studio

CACHE = Path(__file__).parents[2] / ".pytest_cache" / "d" / "label-studio"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the pictures are written")
    parser.add_argument("--page", choices=story.PAGES, help="the page whose pictures are recorded; else all")
    given = parser.parse_args()
    folder: Path = given.folder
    folder.mkdir(parents=True, exist_ok=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work, studio.running(Path(work), CACHE) as pair:
        for page in [given.page] if given.page else story.PAGES:
            story.PAGES[page](pair, folder)


if __name__ == "__main__":
    main()
