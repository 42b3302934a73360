"""A bundle: written, read, and refused when a byte of it is wrong."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from samstudio import trees
from samstudio.bundle import check, collect, pack

SYSTEM = {"id": "debian", "version": "12", "name": "Debian GNU/Linux 12"}
CONTENT = {
    "samstudio/samstudio": b"#!/bin/sh\n",
    "debs/Packages": b"Package: tool\n",
    "debs/tool_1_amd64.deb": b"package",
    "wheels/tool-1-py3-none-any.whl": b"wheel",
    "images.tar": b"layers" * 400_000,
}


def quiet(_: int) -> None:
    """Nobody waits for progress here."""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    sources = {}
    for name, content in CONTENT.items():
        path = tmp_path / "sources" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        sources[name] = path
    sources["samstudio/samstudio"].chmod(0o755)
    file = tmp_path / "bundle.tar"
    manifest = pack.manifest({"os": SYSTEM, "arch": "x86_64"}, sources, quiet)
    assert pack.write(file, manifest, sources, quiet) == file.stat().st_size
    return file


def forged(file: Path, manifest: dict[str, Any] | bytes, members: list[tuple[str | tarfile.TarInfo, bytes]]) -> Path:
    """A bundle with these members, whatever its manifest says."""
    written = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    with tarfile.open(file, "w") as made:
        for member, content in [(check.MANIFEST, written), *members]:
            entry = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    return file


def naming(*names: str) -> dict[str, Any]:
    sha256 = check.hashed(iter([b"x"]))
    return {"format": check.FORMAT, "members": {name: {"bytes": 1, "sha256": sha256} for name in names}}


def refused(file: Path) -> dict[str, str]:
    with pytest.raises(check.Problem) as raised:
        check.verify(file)
    assert all(raised.value.fields.values())
    return raised.value.fields


def test_what_was_packed_is_read_and_nothing_is_left_beside_it(bundle: Path) -> None:
    manifest = check.verify(bundle)
    assert {name: entry["bytes"] for name, entry in manifest["members"].items()} == {
        name: len(content) for name, content in CONTENT.items()
    }
    assert [path.name for path in bundle.parent.glob("bundle*")] == ["bundle.tar"]


def test_tar_alone_brings_out_a_tree_that_can_run(bundle: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "-xf", bundle, "-C", tmp_path, "samstudio"], check=True, timeout=60)
    assert (tmp_path / "samstudio/samstudio").stat().st_mode & 0o111


@pytest.mark.parametrize("kept", [0, 100, 700, 5_000, 1_000_000, -11_000])
def test_a_bundle_cut_short_is_refused(bundle: Path, kept: int) -> None:
    bundle.write_bytes(bundle.read_bytes()[:kept])
    assert "damaged" in refused(bundle)["message"]


@pytest.mark.parametrize("name", CONTENT)
def test_a_changed_byte_is_refused_and_its_member_named(bundle: Path, name: str) -> None:
    content = bytearray(bundle.read_bytes())
    content[content.rindex(CONTENT[name][:9])] ^= 1
    bundle.write_bytes(content)
    assert name in refused(bundle)["found"]


@pytest.mark.parametrize(
    ("names", "members", "says"),
    [
        pytest.param(["debs/a"], [("debs/a", b"x"), ("debs/b", b"x")], "debs/b", id="a foreign member"),
        pytest.param(["debs/a"], [("debs/a", b"x"), ("debs/a", b"x")], "twice", id="a member twice"),
        pytest.param(["debs/a", "debs/b"], [("debs/a", b"x")], "debs/b", id="a missing member"),
        pytest.param(["../a"], [("../a", b"x")], "../a", id="a name that leaves the folder"),
        pytest.param(["debs/../../a"], [("debs/../../a", b"x")], "debs/../../a", id="one that leaves it later"),
        pytest.param(["/etc/passwd"], [("/etc/passwd", b"x")], "/etc/passwd", id="an absolute name"),
        pytest.param(["other/a"], [("other/a", b"x")], "other/a", id="a folder of its own"),
    ],
)
def test_members_that_do_not_belong_are_refused(
    tmp_path: Path, names: list[str], members: list[tuple[str | tarfile.TarInfo, bytes]], says: str
) -> None:
    assert says in refused(forged(tmp_path / "bundle.tar", naming(*names), members))["found"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE])
def test_only_plain_files_are_taken(tmp_path: Path, kind: bytes) -> None:
    entry = tarfile.TarInfo("debs/a")
    entry.type, entry.linkname = kind, "/etc/passwd"
    file = forged(tmp_path / "bundle.tar", naming("debs/a"), [(entry, b"")])
    assert "debs/a" in refused(file)["found"]
    with pytest.raises(check.Problem):
        check.unpack(file, tmp_path / "unpacked")
    assert not (tmp_path / "unpacked").exists()


@pytest.mark.parametrize("manifest", [b"{", b"[]", b"{}", b'{"format": 2, "members": {}}'])
def test_a_manifest_that_cannot_be_read_is_refused(tmp_path: Path, manifest: bytes) -> None:
    assert refused(forged(tmp_path / "bundle.tar", manifest, []))["found"]


def test_another_file_or_none_is_refused(tmp_path: Path) -> None:
    assert "no such bundle" in refused(tmp_path / "missing.tar")["message"]
    (tmp_path / "text").write_text("hello\n" * 500)
    assert "damaged" in refused(tmp_path / "text")["message"]


@pytest.mark.parametrize(
    ("system", "arch", "accepted"),
    [
        ({**SYSTEM, "name": "the same, updated"}, "x86_64", True),
        ({**SYSTEM, "version": "13"}, "x86_64", False),
        ({**SYSTEM, "id": "ubuntu"}, "x86_64", False),
        (SYSTEM, "aarch64", False),
    ],
)
def test_a_bundle_is_for_one_release_and_architecture(system: dict[str, str], arch: str, accepted: bool) -> None:
    manifest = {"os": SYSTEM, "arch": "x86_64"}
    if accepted:
        check.refuse_elsewhere(manifest, system, arch)
        return
    with pytest.raises(check.Problem) as raised:
        check.refuse_elsewhere(manifest, system, arch)
    assert "Debian GNU/Linux 12 on x86_64" in raised.value.fields["found"]
    assert "./samstudio bundle" in raised.value.fields["command"]


def test_packages_and_wheels_are_unpacked_once_for_apt_and_pip(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    assert check.unpack(bundle, folder)
    assert (folder / "debs/tool_1_amd64.deb").read_bytes() == b"package"
    assert (folder / "wheels/tool-1-py3-none-any.whl").read_bytes() == b"wheel"
    assert not (folder / "images.tar").exists()
    assert f"file:{folder}/debs" in (folder / "sources.list").read_text()
    assert not check.unpack(bundle, folder)


def test_a_newer_bundle_replaces_what_was_unpacked_and_a_damaged_one_does_not(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    check.unpack(bundle, folder)
    damaged = forged(tmp_path / "damaged.tar", naming("debs/a"), [("debs/a", b"y")])
    with pytest.raises(check.Problem):
        check.unpack(damaged, folder)
    assert (folder / "debs/tool_1_amd64.deb").exists()
    assert check.unpack(forged(tmp_path / "newer.tar", naming("debs/a"), [("debs/a", b"x")]), folder)
    assert [path.name for path in (folder / "debs").iterdir()] == ["a"]


def test_as_a_program_it_says_the_problem_to_people_and_to_ansible(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, str(check.__file__), str(tmp_path / "missing.tar")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 1
    assert json.loads(ran.stdout)["problem"]["message"] == "There is no such bundle."
    assert "found:" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_repository_of_packages_names_them_without_an_epochs_colon(tmp_path: Path) -> None:
    control = tmp_path / "tool" / "DEBIAN"
    control.mkdir(parents=True)
    (control / "control").write_text(
        "Package: tool\nVersion: 1:2\nArchitecture: all\nMaintainer: A <a@example.com>\nDescription: a tool\n"
    )
    file = tmp_path / "tool_1%3a2_all.deb"
    subprocess.run(["dpkg-deb", "--build", control.parent, file], check=True, capture_output=True, timeout=60)
    index = collect.packages_index([file, file])
    assert index.count("Package: tool\n") == 2
    assert "Filename: ./tool_1-2_all.deb" in index
    assert f"Size: {file.stat().st_size}" in index
    assert index.split("\n\n")[0].startswith("Package: ")


def test_a_tree_is_its_sources_without_settings_and_what_compilers_leave(tmp_path: Path) -> None:
    for name in ("roles/one/tasks.yml", "site.yml", "inventory/local/hosts.yml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    before = trees.project_digest(tmp_path)
    for name in ("roles/tests/a.py", "roles/b.so", "roles/__pycache__/c.pyc", ".venv/d", "inventory/local/e.yml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert trees.project_digest(tmp_path) == before
    (tmp_path / "roles/one/tasks.yml").write_text("changed")
    assert trees.project_digest(tmp_path) != before
