"""What the pictures tell: five cells for the main page, each step of the annotators' page, boxes that become masks."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw

from docs.make import desk, studio
from docs.make.desk import ACCEPT, SMART_TOOL, TOGGLE, Click, Desk
from docs.make.film import Film
from tools.tests.browser import editor

GOOD = 0.9
WIDTH = 720
COLOURS = 128
ORANGE = (232, 106, 16)


def meant(opened: Desk, number: int, click: Click, *, least: float = GOOD) -> Click:
    """The click, if its mask is the object that was meant.

    Raises:
        AssertionError: it is not, and nobody should be shown it.
    """
    iou = click.iou(opened.project.scene.mask(number))
    sys.stdout.write(f"{opened.project.scene.label} {number}: IoU {iou:.3f}, {click.milliseconds} ms\n")
    sys.stdout.flush()
    assert iou >= least, f"{opened.project.scene.name}, object {number}: IoU {iou:.3f}"
    return click


def main_page(pair: studio.Pair, folder: Path) -> None:
    """Choose a label, click four cells, take away what one click found too much of, accept each."""
    with desk.opened(pair, pair.projects["cell"]) as opened:
        film = Film(WIDTH, desk.EDITOR, pointer=(470, 700))
        clicks = opened.project.scene.clicks
        film.caption = "Choose a label"
        film.hold(opened.shot(), 700)
        opened.page.keyboard.press("1")
        shot = opened.shot()
        film.hold(shot, 900, keys="1")
        for number, caption in ((1, "Click a cell"), (6, "Click the next one"), (8, "")):
            shot = _click(film, opened, shot, number, clicks[number - 1], caption)
            shot = _accept(film, opened, shot, "Accept its mask" if number == 1 else "")
        shot = _click(film, opened, shot, 5, clicks[4], "Too much in the mask?", least=0.5)
        film.hold(shot, 900)
        around = opened.around(((200, 230), (860, 600)))
        few_colours(shot.crop(around)).save(folder / "annotate-4-before.png", optimize=True)
        shot = _click(film, opened, shot, 5, clicks[2], "Alt + click takes it away", key="Alt")
        few_colours(shot.crop(around)).save(folder / "annotate-4-after.png", optimize=True)
        film.hold(shot, 900, keys="Alt")
        shot = _accept(film, opened, shot, "")
        film.caption = "Four objects, five clicks"
        film.hold(shot, 2600)
        film.save(folder / "click.gif")


def _click(
    film: Film,
    opened: Desk,
    before: Image.Image,
    number: int,
    spot: tuple[int, int],
    caption: str,
    *,
    key: str = "",
    least: float = GOOD,
) -> Image.Image:
    film.caption = caption or film.caption
    film.move(before, opened.at(spot))
    click = meant(opened, number, opened.click(spot, key=key), least=least)
    film.hold(before, max(click.milliseconds, 40), pressed=True, keys=key)
    after = opened.shot()
    film.hold(after, 800, keys=key)
    return after


def _accept(film: Film, opened: Desk, before: Image.Image, caption: str) -> Image.Image:
    film.caption = caption or film.caption
    tick = opened.middle(ACCEPT)
    film.move(before, tick, 360)
    film.hold(before, 120, pressed=True)
    opened.accept()
    opened.page.mouse.move(tick[0], tick[1] + 30)  # off the mask, which would light up
    after = opened.shot()
    film.hold(after, 420)
    return after


def annotators_page(pair: studio.Pair, folder: Path) -> None:
    with desk.opened(pair, pair.projects["leaf"], first_time=True) as opened:
        page, clicks = opened.page, opened.project.scene.clicks
        ringed(opened, [TOGGLE]).save(folder / "annotate-1-switch.png", optimize=True)
        page.locator(TOGGLE).click(force=True)
        page.locator(".lsf-label").first.click()  # the switch keeps the keyboard until something else is clicked
        page.keyboard.press("m")
        page.locator(f"{SMART_TOOL}.lsf-tool_active").first.wait_for()
        page.locator(".lsf-label_selected").first.wait_for()
        ringed(opened, [".lsf-label", SMART_TOOL]).save(folder / "annotate-2-label.png", optimize=True)
        meant(opened, 2, opened.click(clicks[1]))
        ringed(opened, [ACCEPT]).save(folder / "annotate-3-click.png", optimize=True)
        opened.accept()
        meant(opened, 3, opened.click(clicks[2]))
        opened.accept()
        ringed(opened, []).save(folder / "annotate-5-accept.png", optimize=True)


def ringed(opened: Desk, selectors: list[str], part: tuple[int, int, int, int] = desk.EDITOR) -> Image.Image:
    """The page, or that part of it, with a ring around each thing that is spoken of there."""
    shot = opened.shot()
    pen = ImageDraw.Draw(shot)
    for selector in selectors:
        box = opened.page.locator(selector).first.bounding_box()
        assert box is not None, selector
        corners = (box["x"] - 8, box["y"] - 8, box["x"] + box["width"] + 8, box["y"] + box["height"] + 8)
        pen.rounded_rectangle(corners, 12, outline=ORANGE, width=4)
    return few_colours(shot.crop(part) if selectors else shot)


def few_colours(shot: Image.Image) -> Image.Image:
    return shot.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def masks_page(pair: studio.Pair, folder: Path) -> None:
    with desk.opened(pair, pair.boxed, annotated=True) as opened:
        sentence = editor.type_line(opened.page, "boxes")
        assert sentence.startswith(f"{len(opened.project.scene.clicks)} masks"), sentence
        left, top, right, bottom = desk.EDITOR
        part = (left + desk.TABLE, top, right + desk.TABLE, bottom)
        ringed(opened, [ACCEPT, ".sam2-asks"], part).save(folder / "masks-boxes.png", optimize=True)
        opened.page.goto(f"{pair.studio.url}/projects/{opened.project.number}/data")
        retrieve = editor.retrieve_predictions(opened.page)
        retrieve.hover()
        few_colours(opened.shot().crop((0, 48, 700, 420))).save(folder / "masks-retrieve.png", optimize=True)


#: The pages that have pictures.
PAGES = {"main": main_page, "annotators": annotators_page, "masks": masks_page}
