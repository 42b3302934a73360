"""The rows about a bundle, from which everything comes where there is one."""

from __future__ import annotations

from typing import Any

from .backend import device, model
from .rows import Plan, gib


def bundle(plan: Plan, facts: dict[str, Any], settings: dict[str, Any]) -> None:
    """Everything that the connected way finds out is read from the manifest here."""
    given = settings["bundle"]
    if "problem" in given:
        said = given["problem"]
        why = f"{said['message']} Expected: {said['expected']}"
        plan.add("bundle", said["found"], "-", why, f"Run: {said['command']}")
        return
    manifest = given["manifest"]
    made, shipped = manifest["project"], manifest["choices"]
    plan.add(
        "bundle",
        f"of {manifest['created']}, {gib(given['bytes'])}",
        "nothing else, no network",
        f"{given['members']} members, all whole",
        ""
        if made["digest"] == settings["project_digest"]
        else f"It was made from tree {made['digest']}, this one is {settings['project_digest']}: deploy from its own, "
        "tar -xf BUNDLE samstudio && cd samstudio.",
    )
    plan.choices |= {key: shipped[key] for key in ("base_image", "torch_version", "torch_index_url")}
    absent = settings["database"] == "postgresql" and not any("/postgresql:" in tag for tag in manifest["images"])
    plan.add(
        "images",
        f"{len(manifest['images'])} in the bundle",
        f"torch {shipped['torch_version']} for {shipped['device']}",
        "PostgreSQL is not among them" if absent else "from the bundle",
        "Make the bundle with -e label_studio_database=postgresql." if absent else "",
    )
    if shipped["device"] == "cpu":
        plan.choices["gpu"] = ""
        plan.choose("device", "cpu", "GPU", "not looked at", "the bundle computes on the CPU")
    else:
        device(plan, settings)
        if plan.choices["device"] == "cuda" and not plan.choices["gpu"]:
            fix = "Install them from your own media, then run again."
            plan.add("GPU driver", "none that works", "-", "driver and toolkit are not in the bundle", fix)
    asked = settings["model_asked"]
    if asked == "demo" or settings["checkpoint_file"]:
        model(plan, facts, settings)
        return
    fix = "" if asked in ("auto", shipped["model"]) else f"Make the bundle with -e sam2_backend_model={asked}."
    why = "DEMO MODEL: knows drawn shapes only" if shipped["model"] == "demo" else "official weights"
    plan.choose("model", shipped["model"], "SAM2 model", f"{shipped['model']} in the bundle", why, fix)
