"""From what was found to what will be used and why. Pure: dictionaries in, dictionaries out.

A choice that an earlier deploy of the host took is kept: a source that does not answer today neither rebuilds, nor
switches, nor refuses anything. Another choice is made when a setting asks for it, or with `reconsider`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from . import backend, bundle_rows, machine, software
from .engine import engine
from .rows import Plan

#: what is written down on the host
REMEMBERED = (
    "docker_engine_source",
    "base_image",
    "base_mirror",
    "base_security_mirror",
    "device",
    "gpu",
    "torch_index_url",
    "model",
)


def decide(facts: dict[str, Any], settings: dict[str, Any], remembered: dict[str, Any]) -> dict[str, Any]:
    """The preflight plan.

    facts: what probe.py and sources.py found. settings: roles/preflight/vars/main.yml. remembered: `record` of the
    host's last deploy, or {}.
    Returns {"rows": [Row as dict], "choices": {name: value}, "problems": [text], "record": what to remember}; problems
    stop a deploy.
    """
    plan = Plan() if settings["reconsider"] or not remembered else Plan(remembered["choices"], remembered["date"])
    machine.host(plan, facts)
    machine.resources(plan, facts, settings)
    engine(plan, facts, settings)
    machine.network(plan, facts, settings)
    machine.image_folder(plan, facts, settings)
    if settings["bundle"]:
        bundle_rows.bundle(plan, facts, settings)
    else:
        software.builds(plan, facts)
        software.base_image(plan, facts, settings)
        software.python_packages(plan, facts)
        if settings["backend"]:
            backend.device(plan, settings)
            software.torch(plan, facts, settings)
            backend.model(plan, facts, settings)
        else:
            plan.choose("device", "none", "SAM2 backend", "-", "the inventory puts it on other hosts")
    problems = [f"{row.what}: found {row.found}; {row.why}. {row.fix}" for row in plan.rows if row.fix]
    return {
        "rows": [asdict(row) for row in plan.rows],
        "choices": plan.choices,
        "problems": problems,
        "record": _record(plan, settings, remembered),
    }


def _record(plan: Plan, settings: dict[str, Any], remembered: dict[str, Any]) -> dict[str, Any]:
    """What to remember, dated by the last time that it changed."""
    chosen = {key: plan.choices[key] for key in REMEMBERED if key in plan.choices}
    # The CPU until the GPU's driver has come, with this deploy and the next boot, was not chosen for good.
    if chosen.get("device") == "cpu" and any(row.what == "NVIDIA driver" for row in plan.rows):
        for key in ("device", "gpu", "torch_index_url"):
            chosen.pop(key, None)
    if remembered and remembered["choices"] == chosen:
        return remembered
    return {"date": settings["today"], "choices": chosen}
