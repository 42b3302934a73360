"""The rows about the SAM2 backend: what it computes on, and with which model."""

from __future__ import annotations

from typing import Any

from .rows import Plan


def device(plan: Plan, settings: dict[str, Any]) -> None:
    gpu = settings["gpu"]
    kept = "" if settings["device_asked"] != "auto" else plan.kept.get("device", "")
    if kept == "cpu" and gpu["device"] == "cuda":
        plan.choices["gpu"] = ""
        why = f"the CPU, {plan.as_chosen()} and takes the GPU"
        plan.choose("device", "cpu", "GPU", gpu["found"], why)
        return
    plan.choices["gpu"] = _chosen_gpu(plan, gpu["workers"])
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


def _chosen_gpu(plan: Plan, workers: list[dict[str, Any]]) -> str:
    """The one chosen before while it is there, else the one with the most memory."""
    devices = [worker["device"] for worker in sorted(workers, key=lambda worker: -int(worker["memory_mib"]))]
    kept = plan.kept.get("gpu", "")
    return kept if kept in devices else (devices or [""])[0]


def wanted_model(settings: dict[str, Any], remembered: dict[str, Any]) -> str:
    """Asked for, or chosen before, or what the device suggests.

    settings: asked (auto or a model), device (as asked for), fitting (the GPU's), weights (where the admin says that
    the official ones are: file or mirror; a demo model chosen for want of them is not kept then), reconsider.
    """
    if settings["asked"] != "auto":
        return str(settings["asked"])
    kept = {} if settings["reconsider"] or not remembered else remembered["choices"]
    if settings["device"] not in ("auto", kept.get("device", settings["device"])):
        kept = {}
    if "model" in kept and not (kept["model"] == "demo" and any(settings["weights"])):
        return str(kept["model"])
    return "tiny" if "cpu" in (settings["device"], kept.get("device")) else str(settings["fitting"])


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
