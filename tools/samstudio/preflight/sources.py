"""Report what a host is set up to take software from and which of it answers, as one JSON object. Changes nothing.

Runs on the host itself, as root, with nothing but the standard library (Python 3.9 or later): Ansible sends this one
file. Settings arrive as JSON in the environment variable PREFLIGHT_SETTINGS:

    urls: {name: url}       addresses to try, besides the host's own pip index and Debian mirror; any answer that is
                            not a refusal or a server error counts as reachable; nothing is tried if there are none
    timeout: float          seconds for one address
    os: {id, codename}      of this system
    proxies: {name: url}    those of the person who deploys this very machine, which sudo keeps from this process

The output holds passwords where the host's own settings do (proxies, pip's indexes): it is for other programs only.
"""

from __future__ import annotations

import base64
import configparser
import contextlib
import hashlib
import http.client
import json
import os
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CA_FOLDERS = ("/usr/local/share/ca-certificates", "/etc/pki/ca-trust/source/anchors")
PIP_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")
PROXIES = ("http_proxy", "https_proxy", "no_proxy")
ENVIRONMENT_FILE = "/etc/environment"
PACKAGES = re.compile(r"'(?P<address>[^']+)/dists/(?P<suite>[^']+)/(?P<component>[^/']+)/binary-")
MIRROR_FILE = "mirror+file:"


def proxies(given: dict[str, str]) -> dict[str, str]:
    """The proxies under their lower-case names, which every program understands.

    The given ones come first, then this process's environment, then the host's own, which sudo does not pass on.
    """
    places = (given, dict(os.environ), _environment_file())
    found = {key: [place.get(key) or place.get(key.upper(), "") for place in places] for key in PROXIES}
    return {key: next(filter(None, values)) for key, values in found.items() if any(values)}


def _environment_file() -> dict[str, str]:
    """What pam_env reads for everybody who logs in."""
    with contextlib.suppress(OSError):
        lines = Path(ENVIRONMENT_FILE).read_text().splitlines()
        pairs = (line.strip().removeprefix("export ").partition("=") for line in lines)
        return {key: value.strip("\"'") for key, _, value in pairs}
    return {}


def apt_sources() -> list[dict[str, str]]:
    """The archives that apt is set up with, {address, suite, component} each, whether or not it ever fetched them."""
    try:
        done = subprocess.run(
            ["apt-get", "update", "--print-uris"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = []
    for line in done.stdout.splitlines():
        archive = PACKAGES.match(line)
        if archive:
            source = archive.groupdict()
            if source["address"].startswith(MIRROR_FILE):
                source["address"] = _first_mirror(source["address"][len(MIRROR_FILE) :])
            if source not in found:
                found.append(source)
    return found


def _first_mirror(path: str) -> str:
    with contextlib.suppress(OSError):
        for line in Path(path).read_text().splitlines():
            if line.startswith("http"):
                return line.split()[0].rstrip("/")
    return ""


def debian_mirror(system: dict[str, str], sources: list[dict[str, str]]) -> dict[str, str]:
    """The Debian mirrors among a host's sources, {main, security}; empty where there is none.

    Told from other people's archives by the suite, and among several by what a mirror of Debian looks like: it has
    more than one suite of the release, and its address ends in debian.
    """
    mirrors = {"main": "", "security": ""}
    if system["id"] != "debian":
        return mirrors
    names = {system["codename"], "stable", "oldstable", "testing"}
    usable = [
        source
        for source in sources
        if source["component"] == "main" and re.match(r"https?://[^@]+$", source["address"])
    ]
    suites: dict[str, set[str]] = {}
    for source in usable:
        suites.setdefault(source["address"], set()).add(source["suite"])

    def unlike_debian(address: str) -> tuple[int, bool, str]:
        return -len(suites[address]), not re.search(r"/debian(-security)?$", address), address

    main = [address for address, has in suites.items() if names & has]
    security = [address for address, has in suites.items() if {f"{name}-security" for name in names} & has]
    mirrors["main"] = min(main, key=unlike_debian, default="")
    mirrors["security"] = min(security, key=unlike_debian, default="")
    return mirrors


def listing_digest(folder: str) -> str:
    """Twelve hex digits over the names and sizes of a folder's files."""
    listing = sorted(f"{path.name} {path.stat().st_size}" for path in Path(folder).iterdir())
    return hashlib.sha256("\n".join(listing).encode()).hexdigest()[:12]


def pip_settings() -> dict[str, object]:
    """The index settings that pip on this host would use, files first, then the environment, as pip orders them."""
    settings: dict[str, str] = {}
    for name in PIP_FILES:
        parser = configparser.RawConfigParser()
        with contextlib.suppress(configparser.Error, OSError):
            parser.read(Path(name).expanduser())
        for section in ("global", "install"):
            if parser.has_section(section):
                settings.update(parser.items(section))
    for key, value in os.environ.items():
        if key.startswith("PIP_"):
            settings[key[4:].lower().replace("_", "-")] = value

    def words(key: str) -> list[str]:
        return settings.get(key, "").split()

    folders = [item.removeprefix("file://") for item in words("find-links") if item.startswith(("/", "file:/"))]
    return {
        "index_url": settings.get("index-url", ""),
        "extra_index_url": [item for item in words("extra-index-url") if not item.startswith("file:")],
        "local_index_url": [item for item in words("extra-index-url") if item.startswith("file:")],
        "find_links": [item for item in words("find-links") if not item.startswith(("/", "file:/"))],
        "wheel_folders": [{"path": item, "digest": listing_digest(item)} for item in folders if Path(item).is_dir()],
        "trusted_host": words("trusted-host"),
        "no_index": settings.get("no-index", "").lower() in ("1", "true", "yes", "on"),
    }


def reach(url: str, timeout: float) -> str:
    """Empty when the address answered with anything but a server error, else the reason in one line."""
    try:
        request = _request(url)
        with urllib.request.urlopen(request, timeout=timeout):  # noqa: S310
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return "" if error.code in (401, 403, 404, 405) and not _blocked(error) else f"HTTP {error.code}"
    except (urllib.error.URLError, ssl.SSLError, OSError, http.client.HTTPException, ValueError) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__


def _request(url: str) -> urllib.request.Request:
    """A request whose credentials, if the address holds any, are in a header: urllib takes them for a port."""
    parts = urllib.parse.urlsplit(url)
    credentials, at, place = parts.netloc.rpartition("@")
    headers = {"User-Agent": "samstudio-preflight"}
    if at:
        plain = urllib.parse.unquote(credentials).encode()
        headers["Authorization"] = f"Basic {base64.b64encode(plain).decode()}"
    return urllib.request.Request(parts._replace(netloc=place).geturl(), method="HEAD", headers=headers)  # noqa: S310


def _blocked(error: urllib.error.HTTPError) -> bool:
    """A registry answers 401 with its own header; a proxy's refusal is a 403 without one."""
    return error.code == 403 and "Docker-Distribution-Api-Version" not in error.headers


def main() -> None:
    settings = json.loads(os.environ["PREFLIGHT_SETTINGS"])
    system = settings["os"]
    ways_out = proxies(settings["proxies"])
    os.environ.update(ways_out)
    sources = apt_sources()
    pip, mirror = pip_settings(), debian_mirror(system, sources)
    own = {"pip_index": str(pip["index_url"]), "debian_mirror": mirror["main"]} if settings["urls"] else {}
    urls = {name: url for name, url in {**settings["urls"], **own}.items() if url.startswith("http")}
    with ThreadPoolExecutor(max_workers=16) as pool:
        answers = pool.map(lambda item: (item[0], reach(item[1], settings["timeout"])), urls.items())
        unreachable = dict(answers)
    facts = {
        "apt_sources": sources,
        "debian_mirror": mirror,
        "pip": pip,
        "proxies": ways_out,
        "ca_certificates": sorted(str(path) for folder in CA_FOLDERS for path in Path(folder).rglob("*.crt")),
        "unreachable": unreachable,
    }
    json.dump(facts, sys.stdout)


if __name__ == "__main__":
    main()
