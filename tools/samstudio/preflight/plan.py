"""From what `probe` found to what will be used and why. Pure: dictionaries in, dictionaries out."""

from __future__ import annotations

import ipaddress
from dataclasses import asdict, dataclass, field
from typing import Any

MINIMUM_MEMORY = 6 * 2**30
# Where data and the engine's images share a filesystem, of each where they do not, and once a deploy has begun.
MINIMUM_FREE = 12 * 2**30
MINIMUM_FREE_APART = 10 * 2**30
MINIMUM_FREE_BEGUN = 6 * 2**30
MINIMUM_FREE_DEPLOYED = 2 * 2**30
# On a host with the database alone.
MINIMUM_DATABASE_MEMORY = 2**30
MINIMUM_DATABASE_FREE = 4 * 2**30
APT_SYSTEMS = {"debian": ("12", "13"), "ubuntu": ("22.04", "24.04", "26.04")}
MINIMUM_PYTHON = (3, 9)
MINIMUM_ENGINE = (20, 10)


@dataclass(frozen=True)
class Row:
    """One line of the preflight table. `fix` is empty unless something stops the deployment."""

    what: str
    found: str
    use: str
    why: str = ""
    fix: str = ""


@dataclass
class Plan:
    rows: list[Row] = field(default_factory=list)
    choices: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, found: str, use: str, why: str = "", fix: str = "") -> None:
        self.rows.append(Row(what, found, use, why, fix))

    def choose(self, key: str, value: str, what: str, found: str, why: str, fix: str = "") -> None:
        self.choices[key] = value
        self.rows.append(Row(what, found, value, why, fix))


def decide(facts: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The preflight plan.

    facts: the probe's JSON. settings: the role's variables (see roles/preflight/defaults/main.yml).
    Returns {"rows": [Row as dict], "choices": {name: value}, "problems": [text]}; problems stop a deploy.
    """
    plan = Plan()
    _host(plan, facts)
    _resources(plan, facts, settings)
    _engine(plan, facts, settings)
    _network(plan, facts, settings)
    _image_folder(plan, facts, settings)
    if settings["bundle"]:
        _bundle(plan, facts, settings)
    else:
        _builds(plan, facts)
        _images(plan, facts)
        _python_packages(plan, facts)
        if settings["backend"]:
            _gpu(plan, settings)
            _torch(plan, facts, settings)
            _model(plan, facts, settings)
        else:
            plan.choose("device", "none", "SAM2 backend", "-", "the inventory puts it on other hosts")
    problems = [f"{row.what}: found {row.found}; {row.why}. {row.fix}" for row in plan.rows if row.fix]
    return {"rows": [asdict(row) for row in plan.rows], "choices": plan.choices, "problems": problems}


def _host(plan: Plan, facts: dict[str, Any]) -> None:
    system = facts["os"]
    supported = system["version"] in APT_SYSTEMS.get(system["id"], ())
    plan.add(
        "operating system",
        system["name"],
        "as it is",
        "supported" if supported else "not among Debian 12/13 and Ubuntu 22.04/24.04/26.04",
        "" if supported or facts["engine"]["version"] else "Install a Docker engine yourself, then run again.",
    )
    version = tuple(int(part) for part in facts["python"].split(".")[:2])
    plan.add(
        "Python",
        facts["python"],
        "as it is",
        "3.9 or later is needed",
        "" if version >= MINIMUM_PYTHON else "Install Python 3.9 or later and set ansible_python_interpreter to it.",
    )
    plan.add(
        "user",
        f"uid {facts['uid']}",
        "root",
        "roles install packages and talk to the engine",
        "" if facts["uid"] == 0 else "Set ansible_become: true in the inventory, or run as root.",
    )


def _resources(plan: Plan, facts: dict[str, Any], settings: dict[str, Any]) -> None:
    database_alone = not (settings["label_studio"] or settings["backend"])
    memory = MINIMUM_DATABASE_MEMORY if database_alone else MINIMUM_MEMORY
    _minimum(plan, "memory", facts["memory_bytes"], memory, "Use a host with more memory.")
    disks = facts["free_bytes"]
    least = MINIMUM_FREE_APART if len(disks) > 1 else MINIMUM_FREE
    if facts["own_containers"]:
        least = MINIMUM_FREE_DEPLOYED
    elif database_alone:
        least = MINIMUM_DATABASE_FREE
    elif facts["own_images"]:
        least = MINIMUM_FREE_BEGUN
    for path, free in disks.items():
        fix = f"Free some space where {path} is, or set samstudio_data_dir elsewhere."
        _minimum(plan, "free disk", free, least, fix, f" for {path}")


def _minimum(plan: Plan, what: str, found: int, least: int, fix: str, where: str = "") -> None:
    plan.add(what, _gib(found) + where, "as it is", f"{_gib(least)} are needed", "" if found >= least else fix)


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"


def _engine(plan: Plan, facts: dict[str, Any], settings: dict[str, Any]) -> None:
    engine = facts["engine"]
    if engine["version"]:
        version = tuple(int(part) for part in engine["version"].split("+")[0].split("-")[0].split(".")[:2])
        plan.choose(
            "docker_engine",
            "existing",
            "Docker engine",
            f"{engine['version']} running",
            "an engine that works is left alone",
            "" if version >= MINIMUM_ENGINE else "Upgrade the engine to 20.10 or later.",
        )
        return
    if engine["installed"]:
        plan.choose("docker_engine", "start", "Docker engine", f"installed, {engine['error']}", "it will be started")
        return
    if settings["bundle"]:
        plan.choose("docker_engine", "distribution", "Docker engine", "none", "the distribution's, from the bundle")
        return
    refused = facts["unreachable"]["docker_repository"]
    source = "distribution" if refused else "docker_repository"
    wanted = settings["docker_engine_source"]
    if wanted != "auto":
        source = wanted
    why = f"Docker's repository cannot be reached ({refused})" if refused else "Docker's own repository can be reached"
    fix = ""
    if wanted == "docker_repository" and refused:
        fix = "Remove docker_engine_source from the inventory to take the distribution's package."
    plan.choose("docker_engine", source, "Docker engine", "none", why, fix)


def _network(plan: Plan, facts: dict[str, Any], settings: dict[str, Any]) -> None:
    for port, wanted in settings["ports"].items():
        holder = facts["ports"][port]
        plan.add(
            f"port {port}",
            holder or ("ours" if facts["own_containers"] else "free"),
            f"{wanted['listen']}:{port}",
            f"{wanted['who']} listens here",
            f"Stop it, or {wanted['instead']}." if holder else "",
        )
    subnet = ipaddress.ip_network(settings["subnet"])
    taken = ""
    if facts["network_subnet"] != settings["subnet"]:
        for route in facts["routes"]:
            target, _, device = route.partition(" ")
            if subnet.overlaps(ipaddress.ip_network(target, strict=False)):
                taken = f"{target} is routed to {device}"
    plan.add(
        "private network",
        taken or ("ours" if facts["network_subnet"] else "free"),
        settings["subnet"],
        "the two containers meet here",
        "Choose another one with -e samstudio_network_subnet=172.31.77.0/24." if taken else "",
    )


def _builds(plan: Plan, facts: dict[str, Any]) -> None:
    certificates = facts["ca_certificates"]
    plan.add(
        "extra CAs",
        f"{len(certificates)} certificates" if certificates else "none",
        "copied into images and containers" if certificates else "nothing",
        "so that inspected TLS verifies" if certificates else "",
    )
    plan.add(
        "proxy", ", ".join(sorted(facts["proxies"])) or "none", "passed to image builds" if facts["proxies"] else "-"
    )


def _images(plan: Plan, facts: dict[str, Any]) -> None:
    refused = facts["unreachable"]["docker_hub"]
    mirror = facts["debian_mirror"]["main"]
    fix = ""
    if refused and not mirror:
        fix = "Let this host reach a registry, or run on Debian, whose mirror can build the base image."
    down = facts["unreachable"].get("debian_mirror", "")
    if down and not facts["own_containers"]:
        fix = f"The Debian mirror {mirror} does not answer ({down}): mend /etc/apt/sources.list (apt-get update tells)."
    plan.choose(
        "base_image",
        "mirror" if refused else "registry",
        "base image",
        f"registry: {refused}" if refused else "registry answers",
        "built from this host's own Debian mirror" if refused else "Debian 12 from the registry",
        fix,
    )


def _image_folder(plan: Plan, facts: dict[str, Any], settings: dict[str, Any]) -> None:
    if settings["images"]:
        problem = facts["images_problem"]
        plan.add(
            "image folder",
            problem or "readable",
            settings["images"],
            "both containers read it as an ordinary user",
            f"Run: chmod -R o+rX {settings['images']}" if problem else "",
        )


def _gpu(plan: Plan, settings: dict[str, Any]) -> None:
    gpu = settings["gpu"]
    workers = sorted(gpu["workers"], key=lambda worker: -int(worker["memory_mib"]))
    plan.choices["gpu"] = workers[0]["device"] if workers else ""
    plan.choose("device", gpu["device"], "GPU", gpu["found"], gpu["reason"], gpu["fix"])
    for row in gpu["rows"]:
        plan.add(**row)


def _python_packages(plan: Plan, facts: dict[str, Any]) -> None:
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


def _torch(plan: Plan, facts: dict[str, Any], settings: dict[str, Any]) -> None:
    plan.choices["torch_version"] = settings["gpu"]["torch"]
    index = settings["gpu"]["index"] if plan.choices["device"] == "cuda" else "cpu"
    if settings["torch_index_url"]:
        plan.choose(
            "torch_index_url", settings["torch_index_url"], "PyTorch", "-", "set by sam2_backend_torch_index_url"
        )
        return
    refused = facts["unreachable"]["pytorch_index"]
    if refused:
        plan.choose(
            "torch_index_url",
            "",
            "PyTorch",
            f"its index: {refused}",
            "from this host's pip configuration: a +cpu wheel in a wheel folder is taken, else the large CUDA build",
        )
    else:
        plan.choose("torch_index_url", f"{settings['torch_index']}/{index}", "PyTorch", "its index answers", "")


def _model(plan: Plan, facts: dict[str, Any], settings: dict[str, Any]) -> None:
    model, expected = settings["model"], settings["checkpoint_bytes"]
    if model == "demo":
        plan.choose("model", "demo", "SAM2 model", "-", "asked for; knows drawn shapes only")
        return
    given = settings["checkpoint_file"]
    if given:
        size = facts["files"].get(given, 0)
        fix = ""
        if not size:
            fix = f"Put the checkpoint of {model} there, or remove sam2_backend_checkpoint_file."
        plan.choose(
            "model", model, "SAM2 model", f"{given}: {size:,} bytes" if size else f"{given} is missing", "a file", fix
        )
        return
    kept = facts["files"].get(settings["checkpoint_path"], 0)
    if kept == expected:
        plan.choose("model", model, "SAM2 model", settings["checkpoint_path"], "downloaded before")
        return
    refused = facts["unreachable"]["checkpoint"]
    if not refused:
        plan.choose(
            "model", model, "SAM2 model", f"{settings['checkpoint_url']} answers", f"{expected:,} bytes to fetch"
        )
        return
    if settings["demo_fallback"]:
        plan.choose(
            "model", "demo", "SAM2 model", f"official weights: {refused}", "DEMO MODEL: knows drawn shapes only"
        )
        return
    plan.choose(
        "model",
        model,
        "SAM2 model",
        f"official weights: {refused}",
        "they cannot be fetched from here",
        "Fetch them elsewhere and set sam2_backend_checkpoint_file, name a mirror in sam2_backend_checkpoint_mirror, "
        "or accept the demo model with -e sam2_backend_model=demo.",
    )


def _bundle(plan: Plan, facts: dict[str, Any], settings: dict[str, Any]) -> None:
    """Everything that the connected way finds out is read from the manifest here."""
    bundle = settings["bundle"]
    if "problem" in bundle:
        said = bundle["problem"]
        why = f"{said['message']} Expected: {said['expected']}"
        plan.add("bundle", said["found"], "-", why, f"Run: {said['command']}")
        return
    manifest = bundle["manifest"]
    made, shipped = manifest["project"], manifest["choices"]
    plan.add(
        "bundle",
        f"of {manifest['created']}, {_gib(bundle['bytes'])}",
        "nothing else, no network",
        f"{bundle['members']} members, all whole",
        ""
        if made["digest"] == settings["project_digest"]
        else f"It was made from tree {made['digest']}, this one is {settings['project_digest']}: deploy from its own, "
        "tar -xf BUNDLE samstudio && cd samstudio.",
    )
    for key in ("base_image", "torch_version", "torch_index_url"):
        plan.choices[key] = shipped[key]
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
        _gpu(plan, settings)
        if plan.choices["device"] == "cuda" and not plan.choices["gpu"]:
            fix = "Install them from your own media, then run again."
            plan.add("GPU driver", "none that works", "-", "driver and toolkit are not in the bundle", fix)
    asked = settings["model_asked"]
    if asked == "demo" or settings["checkpoint_file"]:
        _model(plan, facts, settings)
        return
    fix = "" if asked in ("auto", shipped["model"]) else f"Make the bundle with -e sam2_backend_model={asked}."
    why = "DEMO MODEL: knows drawn shapes only" if shipped["model"] == "demo" else "official weights"
    plan.choose("model", shipped["model"], "SAM2 model", f"{shipped['model']} in the bundle", why, fix)


def table(plan: dict[str, Any]) -> list[str]:
    """The plan as lines of text: what, found, use, why, and what to change."""
    headers = ("what", "found", "will be used", "why")
    cells = [headers, *((row["what"], row["found"], row["use"] or "-", row["why"]) for row in plan["rows"])]
    limits = (18, 40, 34, 90)
    widths = [min(limit, max(len(line[column]) for line in cells)) for column, limit in enumerate(limits)]

    def text(line: tuple[str, ...]) -> str:
        return "  ".join(_fit(cell, width).ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()

    lines = [text(headers), "  ".join("-" * width for width in widths)]
    for row, line in zip(plan["rows"], cells[1:], strict=True):
        lines.append(text(line))
        if row["fix"]:
            lines.append(f"  >> {row['fix']}")
    return lines


def _fit(cell: str, width: int) -> str:
    return cell if len(cell) <= width else cell[: width - 1] + "…"
