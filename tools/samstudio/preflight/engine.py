"""The rows about the Docker engine: whose it is, where it comes from, and what must not be touched without consent."""

from __future__ import annotations

from typing import Any

from .rows import Plan

MINIMUM_ENGINE = (20, 10)
SOURCES = ("docker_repository", "distribution")
#: what apt would take away to make room for an engine of that source
CONFLICTS = {
    "docker_repository": {"containerd", "docker.io", "podman-docker", "runc"},
    "distribution": {"containerd.io", "docker-ce", "docker-ce-cli", "podman-docker"},
}
_ITS_OWN = "Install a system engine instead: "


def engine(plan: Plan, facts: dict[str, Any], settings: dict[str, Any]) -> None:
    if "docker_engine_source" in plan.kept:
        plan.choices["docker_engine_source"] = plan.kept["docker_engine_source"]
    found = facts["engine"]
    if found["kind"]:
        _unusable(plan, found)
    elif found["version"]:
        _existing(plan, found)
        _restart(plan, found, settings["daemon_options"], settings["docker_engine_restart"])
    elif found["installed"]:
        plan.choose("docker_engine", "start", "Docker engine", f"installed, {found['error']}", "it will be started")
    else:
        _install(plan, facts, settings)


def _unusable(plan: Plan, found: dict[str, Any]) -> None:
    """Engines that answer, but cannot see this host's folders or cannot be reached at their containers' addresses."""
    names = {"snap": "Docker from a snap", "desktop": "Docker Desktop"}
    why = {
        "snap": "a snap sees neither /etc nor /var/lib, where settings and data are",
        "desktop": "its containers are in a virtual machine of its own, out of this host's reach",
    }
    fix = {
        "snap": "Keep what you need of its containers, then run: snap remove docker",
        "desktop": "Quit Docker Desktop (in WSL2: switch off its integration for this distribution), then run again.",
    }
    kind = found["kind"]
    plan.choose("docker_engine", "existing", "Docker engine", names[kind], why[kind], _ITS_OWN + fix[kind])


def _existing(plan: Plan, found: dict[str, Any]) -> None:
    version = tuple(int(part) for part in found["version"].split("+")[0].split("-")[0].split(".")[:2])
    plan.choose(
        "docker_engine",
        "existing",
        "Docker engine",
        f"{found['version']} running",
        "an engine that works is left alone",
        "" if version >= MINIMUM_ENGINE else "Upgrade the engine to 20.10 or later.",
    )


def _restart(plan: Plan, found: dict[str, Any], options: dict[str, Any], consent: bool) -> None:
    others, present = found["other_containers"], found["daemon_options"]
    if not others or found["live_restore"] or _merged(present, options) == present:
        return
    plan.add(
        "other containers",
        f"{len(others)} running: {', '.join(others[:3])}{' …' if len(others) > 3 else ''}",
        "the engine restarts",
        f"/etc/docker/daemon.json gets {', '.join(options)}; containers without a restart policy stay down afterwards",
        "" if consent else "Stop them, agree with -e docker_engine_restart=true, or set live-restore in daemon.json.",
    )


def _merged(present: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    together = dict(present)
    for key, value in wanted.items():
        both = isinstance(value, dict) and isinstance(present.get(key), dict)
        together[key] = _merged(present[key], value) if both else value
    return together


def _install(plan: Plan, facts: dict[str, Any], settings: dict[str, Any]) -> None:
    found, consent = facts["engine"], settings["docker_engine_replace"]
    if settings["bundle"]:
        source, why, fix = "distribution", "the distribution's, from the bundle", ""
    else:
        source, why, fix = _source(plan, facts, settings)
    plan.choices["docker_engine_source"] = source
    plan.choose("docker_engine", source, "Docker engine", "none", why, fix)
    removed = sorted(CONFLICTS[source] & set(found["packages"]))
    other = next(name for name in SOURCES if name != source)
    if removed:
        elsewhere = "" if CONFLICTS[other] & set(found["packages"]) else f", or take -e docker_engine_source={other}"
        plan.add(
            "packages in its way",
            ", ".join(removed),
            "removed",
            f"an engine from this source cannot be beside {'them' if len(removed) > 1 else 'it'}",
            "" if consent else f"If nothing needs them, agree with -e docker_engine_replace=true{elsewhere}.",
        )
    if found["rootless"]:
        plan.add(
            "rootless Docker",
            ", ".join(found["rootless"]),
            "stays, beside a system engine",
            "a rootless engine has no network that the host reaches",
            "" if consent else "Agree to a second engine with -e docker_engine_replace=true.",
        )
    if found["kubelet"]:
        plan.add(
            "Kubernetes",
            "kubelet on this host",
            "a Docker engine beside it",
            "the engine changes the firewall's FORWARD rules, which pods may need",
            "" if consent else "Take another host, or agree with -e docker_engine_replace=true.",
        )


def _source(plan: Plan, facts: dict[str, Any], settings: dict[str, Any]) -> tuple[str, str, str]:
    refused = facts["unreachable"]["docker_repository"]
    asked, kept = settings["docker_engine_source"], plan.kept.get("docker_engine_source", "")
    if asked != "auto":
        source, why = asked, "asked for"
        fix = "Remove docker_engine_source from the inventory to take the distribution's package."
    elif kept:
        source, why = kept, plan.as_chosen()
        fix = "Wait until it answers, or deploy with --reconsider."
    elif refused:
        return "distribution", f"Docker's repository cannot be reached ({refused})", ""
    else:
        return "docker_repository", "Docker's own repository can be reached", ""
    if source == "docker_repository" and refused:
        return source, f"{why}, but it cannot be reached ({refused})", fix
    return source, why, ""
