"""The rows about what images are made from: CAs, proxies, the base image, Python packages, PyTorch."""

from __future__ import annotations

from typing import Any

from ..gpu.compatibility import CPU_TORCH, TORCH_BUILDS
from .rows import Plan, holds_password

#: the torch of each index of PyTorch's
TORCHES = {"cpu": CPU_TORCH, **{build.index: build.torch for build in TORCH_BUILDS}}


def builds(plan: Plan, facts: dict[str, Any]) -> None:
    certificates = facts["ca_certificates"]
    plan.add(
        "extra CAs",
        f"{len(certificates)} certificates" if certificates else "none",
        "copied into images and containers" if certificates else "nothing",
        "so that inspected TLS verifies" if certificates else "",
    )
    proxies = facts["proxies"]
    plan.add("proxy", ", ".join(sorted(proxies)) or "none", "for builds and a new engine" if proxies else "-")


def base_image(plan: Plan, facts: dict[str, Any], settings: dict[str, Any]) -> None:
    """Debian 12: the registry's, or made of the host's own Debian mirror."""
    refused = facts["unreachable"]["registry"]
    mirrors = _mirrors(plan, facts)
    road = plan.kept.get("base_image") or ("mirror" if refused else "registry")
    fix = ""
    if road == "mirror":
        plan.choices.update(mirrors)
        fix = _mirror_fix(facts, mirrors)
    why = {"mirror": "built from this host's own Debian mirror", "registry": "Debian 12 from the registry"}[road]
    if "base_image" in plan.kept:
        why = f"{why}, {plan.as_chosen()}"
        if road == "registry" and refused and not begun(facts):
            fix = "Wait until the registry answers, or deploy with --reconsider."
    said = f"{settings['registry']}: {refused}" if refused else f"{settings['registry']} answers"
    plan.choose("base_image", road, "base image", said, why, fix)
    if road == "mirror" and mirrors["base_mirror"] and not mirrors["base_security_mirror"]:
        plan.add(
            "security updates",
            "no archive of them",
            "images without them",
            "apt's sources on this host name none: add debian-security, then deploy with --reconsider",
        )


def begun(facts: dict[str, Any]) -> bool:
    """Whether a deploy made images here, so that a source that is down now is not needed to begin with."""
    return bool(facts["own_images"] or facts["own_containers"])


def _mirrors(plan: Plan, facts: dict[str, Any]) -> dict[str, str]:
    """As chosen before while the host's sources still name them: a mirror that was moved is another wish."""
    named = {source["address"] for source in facts["apt_sources"]}
    kept = {key: plan.kept.get(key, "") for key in ("base_mirror", "base_security_mirror")}
    if kept["base_mirror"] and {address for address in kept.values() if address} <= named:
        return kept
    mirror = facts["debian_mirror"]
    return {"base_mirror": mirror["main"], "base_security_mirror": mirror["security"]}


def _mirror_fix(facts: dict[str, Any], mirrors: dict[str, str]) -> str:
    main, down = mirrors["base_mirror"], facts["unreachable"].get("debian_mirror", "")
    if begun(facts):
        return ""
    if not main:
        return "Let this host reach a registry, or run on Debian, whose mirror can build the base image."
    if down:
        return f"The Debian mirror {main} does not answer ({down}): mend /etc/apt/sources.list (apt-get update tells)."
    return ""


def python_packages(plan: Plan, facts: dict[str, Any]) -> None:
    pip = facts["pip"]
    index = pip["index_url"] or ("none (no-index)" if pip["no_index"] else "pip's default")
    found = ", ".join(
        [index, *pip["extra_index_url"], *pip["find_links"], *(item["path"] for item in pip["wheel_folders"])]
    )
    why = "this host's pip configuration"
    if pip["local_index_url"]:
        why += f"; {len(pip['local_index_url'])} file:// indexes stay outside (images cannot see them)"
    refused = facts["unreachable"].get("pip_index", "")
    fix = ""
    if refused:
        found, why = f"{found}: {refused}", f"{why}, whose index does not answer"
        if not pip["wheel_folders"] and not facts["own_containers"]:
            fix = "Mend index-url in /etc/pip.conf (pip download pip tells), or name a folder of wheels in find-links."
    plan.add("Python packages", found, "the same in image builds", why, fix)


def torch(plan: Plan, facts: dict[str, Any], settings: dict[str, Any]) -> None:
    """After the device: each has indexes of its own."""
    computed = settings["gpu"]
    index = computed["index"] if plan.choices["device"] == "cuda" else "cpu"
    kept = _kept_index(plan)
    refused = facts["unreachable"]["pytorch_index"]
    found = f"its index: {refused}" if refused else "its index answers"
    from_pip = "from this host's pip configuration: a +cpu wheel in a wheel folder is taken, else the large CUDA build"
    fix = ""
    if settings["torch_index_url"]:
        address, found, why = settings["torch_index_url"], "-", "set by sam2_backend_torch_index_url"
        if holds_password(address):
            fix = (
                "A password would be readable in the image: name that index in /etc/pip.conf (extra-index-url) instead."
            )
    elif kept is not None:
        address, why = kept, plan.as_chosen()
    elif refused:
        address, why = "", from_pip
    else:
        address, why = f"{settings['torch_index']}/{index}", ""
    plan.choose("torch_index_url", address, "PyTorch", found, why, fix)
    version = CPU_TORCH if plan.choices["device"] == "cpu" else computed["torch"]
    plan.choices["torch_version"] = TORCHES.get(address.rpartition("/")[2], version)


def _kept_index(plan: Plan) -> str | None:
    """The index chosen before, for the device that is chosen now, unless this version knows it no more."""
    kept = plan.kept.get("torch_index_url")
    if kept is None or plan.kept.get("device") != plan.choices["device"]:
        return None
    name = kept.rpartition("/")[2]
    gone = name.startswith("cu") and name not in TORCHES
    moved = plan.choices["device"] == "cuda" and plan.kept.get("gpu") != plan.choices["gpu"]
    return None if gone or moved else kept
