"""The rows about the SAM2 backend: what it computes on, and with which model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..gpu import asked_gpus, places
from ..gpu.compatibility import MODEL_SIZES
from .rows import Plan

#: largest first
_SIZES = [size.name for size in MODEL_SIZES]


def _kept(settings: dict[str, Any], remembered: dict[str, Any]) -> dict[str, Any]:
    """What an earlier deploy chose and this one has to keep."""
    return {} if settings["reconsider"] or not remembered else dict(remembered["choices"])


def _gpus(choices: Mapping[str, Any]) -> list[str]:
    """The devices of the backends, in their order."""
    return [device for device in choices.get("gpu", "").split(",") if device]


def chosen_gpus(settings: dict[str, Any], remembered: dict[str, Any]) -> list[dict[str, Any]]:
    """The workers of the GPU verdict that get a backend each, in the order of the backends; none on the CPU.

    settings: gpu (the verdict), gpus_asked (sam2_backend_gpus), device_asked, reconsider. One GPU is chosen unless more
    are asked for: those chosen before while they are there, else the one with the most memory.
    """
    kept = _kept(settings, remembered)
    if settings["gpu"]["device"] != "cuda" or (settings["device_asked"] == "auto" and kept.get("device") == "cpu"):
        return []
    workers = {worker["device"]: worker for worker in settings["gpu"]["workers"]}
    before = _gpus(kept)
    chosen = list(workers)
    if not asked_gpus(settings["gpus_asked"]):
        most = sorted(workers, key=lambda device: -int(workers[device]["memory_mib"]))[:1]
        chosen = [device for device in before if device in workers] or most
    return [workers[device] for device in places(before, chosen)]


def fitting(gpus: list[dict[str, Any]]) -> str:
    """The largest model that fits every one of these GPUs: whichever backend answers, the mask is the same."""
    return max((str(gpu["model_size"]) for gpu in gpus), key=_SIZES.index, default="tiny")


def device(plan: Plan, settings: dict[str, Any]) -> None:
    """settings: gpu (the verdict), gpus (those of its workers that were chosen), device_asked."""
    gpu, gpus = settings["gpu"], settings["gpus"]
    kept = "" if settings["device_asked"] != "auto" else plan.kept.get("device", "")
    plan.choices["gpu"] = ",".join(each["device"] for each in gpus)
    if kept == "cpu" and gpu["device"] == "cuda":
        why = f"the CPU, {plan.as_chosen()} and takes the GPU"
        plan.choose("device", "cpu", "GPU", gpu["found"], why)
        return
    lost = kept == "cuda" and gpu["device"] != "cuda" and not (gpu["fix"] or any(row["fix"] for row in gpu["rows"]))
    fix = "Mend the GPU's driver (nvidia-smi tells), or compute on the CPU: -e sam2_backend_device=cpu." if lost else ""
    plan.choose(
        "device",
        "cuda" if lost else gpu["device"],
        "GPU",
        gpu["found"],
        f"the GPU was chosen on {plan.since}; {gpu['reason']}" if lost else gpu["reason"],
        fix or gpu["fix"],
    )
    for row in gpu["rows"]:
        plan.add(**row)
    _several(plan, gpu["workers"], gpus)


def _several(plan: Plan, workers: list[dict[str, Any]], gpus: list[dict[str, Any]]) -> None:
    """A row for each of several backends, and for what has none."""
    if len(gpus) > 1:
        for number, each in enumerate(gpus, start=1):
            plan.add(
                f"backend {number}", f"{each['name']}, {each['memory_mib']} MiB", each["device"], "one for each GPU"
            )
    others = [worker["name"] for worker in workers if worker not in gpus]
    if gpus and others:
        plan.add("other GPUs", ", ".join(others), "-", "-e sam2_backend_gpus=all gives each a backend of its own")
    there = {worker["device"] for worker in workers}
    gone = [device for device in _gpus(plan.kept) if device not in there]
    if gpus and gone:
        plan.add("GPU left out", ", ".join(gone), "-", f"chosen on {plan.since}, and not there any more")


def wanted_model(settings: dict[str, Any], remembered: dict[str, Any]) -> str:
    """Asked for, or chosen before, or what the device suggests.

    settings: asked (auto or a model), device (as asked for), fitting (the GPU's), weights (where the admin says that
    the official ones are: file or mirror; a demo model chosen for want of them is not kept then), reconsider. What was
    chosen before is not kept where a GPU was added that it does not fit.
    """
    if settings["asked"] != "auto":
        return str(settings["asked"])
    kept = _kept(settings, remembered)
    if settings["device"] not in ("auto", kept.get("device", settings["device"])):
        kept = {}
    found_since = kept.get("model") == "demo" and any(settings["weights"])
    too_large = kept.get("device") == "cuda" and _larger(kept.get("model", ""), settings["fitting"])
    if "model" in kept and not (found_since or too_large):
        return str(kept["model"])
    return "tiny" if "cpu" in (settings["device"], kept.get("device")) else str(settings["fitting"])


def _larger(model: str, than: str) -> bool:
    return model in _SIZES and _SIZES.index(model) < _SIZES.index(than)


def model(plan: Plan, facts: dict[str, Any], settings: dict[str, Any]) -> None:
    chosen, expected = settings["model"], settings["checkpoint_bytes"]
    kept = settings["model_asked"] == "auto" and plan.kept.get("model") == chosen
    since = f", {plan.as_chosen()}" if kept else ""
    if chosen == "demo":
        why = f"DEMO MODEL: knows drawn shapes only{since}" if kept else "asked for; knows drawn shapes only"
        plan.choose("model", "demo", "SAM2 model", _weights_now(facts) if kept else "-", why)
        return
    given = settings["checkpoint_file"]
    if given:
        size = facts["files"].get(given, 0)
        fix = "" if size else f"Put the checkpoint of {chosen} there, or remove sam2_backend_checkpoint_file."
        plan.choose(
            "model", chosen, "SAM2 model", f"{given}: {size:,} bytes" if size else f"{given} is missing", "a file", fix
        )
        return
    if facts["files"].get(settings["checkpoint_path"], 0) == expected:
        plan.choose("model", chosen, "SAM2 model", settings["checkpoint_path"], f"downloaded before{since}")
        return
    refused = facts["unreachable"]["checkpoint"]
    if not refused:
        found, why = f"{settings['checkpoint_url']} answers", f"{expected:,} bytes to fetch{since}"
        plan.choose("model", chosen, "SAM2 model", found, why)
        return
    if settings["demo_fallback"] and not kept:
        plan.choose(
            "model", "demo", "SAM2 model", f"official weights: {refused}", "DEMO MODEL: knows drawn shapes only"
        )
        return
    plan.choose(
        "model",
        chosen,
        "SAM2 model",
        f"official weights: {refused}",
        f"they cannot be fetched from here{since}",
        "Fetch them elsewhere and set sam2_backend_checkpoint_file, name a mirror in sam2_backend_checkpoint_mirror, "
        "or accept the demo model with -e sam2_backend_model=demo.",
    )


def _weights_now(facts: dict[str, Any]) -> str:
    refused = facts["unreachable"].get("checkpoint", "not asked for")
    return f"official weights: {refused}" if refused else "official weights can be fetched now"
