"""The Debian below our images, whose security updates come with another build alone."""

from __future__ import annotations

from samstudio import base_image
from samstudio.causes import Cause
from samstudio.doctor.link import Known, Link, Result, ok, skipped, warning
from samstudio.doctor.links.containers import BY_HAND
from samstudio.doctor.pair import Pair

BASE_IMAGE_OLD = Cause(
    "base-image-old",
    (),
    "The Debian that {container} is built on is {days} days old, and lacks the security updates since then.",
    "./samstudio upgrade --security; on a host that is deployed from a bundle: a new bundle",
)


def check_base_image(pair: Pair, _: Known) -> Result:
    """Security updates of the last month are in our images."""
    if pair.by_hand:
        return skipped(BY_HAND)
    found = base_image.oldest(pair.containers)
    if found is None:
        return skipped("no container of ours is here")
    seen = f"{found.container} is built on a Debian of {found.built:%Y-%m-%d}"
    return warning(BASE_IMAGE_OLD, seen, container=found.container, days=found.age.days) if found.old else ok(seen)


BASE_IMAGE = Link("base-image", check_base_image, needs=("engine",), causes=(BASE_IMAGE_OLD,))
