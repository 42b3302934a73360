"""samstudio storage add: a real Label Studio, the real backend with the demo model, and a stand-in for MinIO."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from samstudio import labeling_configs, samples, storing
from samstudio.errors import SamstudioError, WrongCommandLine
from samstudio.labelstudio import LabelStudio, connect, label_config, projects, s3, storage
from samstudio.labelstudio.prompts import prompt
from samstudio.patience import patiently
from samstudio.verification import decoded, interactive

from tools.tests import backend as real_backend
from tools.tests import stand_in_s3
from tools.tests.commands import fails, invoke, run
from tools.tests.doctor.bench import Studio
from tools.tests.label_studio import RunningLabelStudio
from tools.tests.stand_in_s3 import Store

KEYS = f"[default]\naws_access_key_id = {stand_in_s3.KEY_ID}\naws_secret_access_key = {stand_in_s3.SECRET}\n"
SCENE = samples.SCENES[0]


@pytest.fixture(scope="module")
def token(server: RunningLabelStudio) -> str:
    made = Studio.of(server)
    made.connection.close()
    return made.token


@pytest.fixture
def studio(server: RunningLabelStudio, token: str) -> Iterator[Studio]:
    """With a connection of its own for each test: Label Studio ends those that are idle."""
    with connect(server.url, token) as connection:
        yield Studio(server, token, connection)


@pytest.fixture(scope="module")
def backend_url(tmp_path_factory: pytest.TempPathFactory, server: RunningLabelStudio, token: str) -> Iterator[str]:
    """With a token, as a deployed backend has one: Label Studio gives away no image of a bucket without."""
    folder = tmp_path_factory.mktemp("backend")
    (folder / "token").touch(mode=0o600)
    (folder / "token").write_text(token)
    with real_backend.running(folder, studio_url=server.url, token_file=folder / "token") as url:
        yield url


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A bucket `lab` with one drawn scene, what is no image, and another folder."""
    samples.draw(tmp_path / "samples")
    picture = (tmp_path / "samples" / SCENE.file).read_bytes()
    with stand_in_s3.running() as running:
        running.buckets["lab"] = {
            f"plates/a/{SCENE.file}": picture,
            "plates/notes.txt": b"none",
            f"old/{SCENE.file}": picture,
        }
        yield running


@pytest.fixture
def folder(studio: Studio, describe: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration, a token and the keys in the environment."""
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", studio.token)
    for name, value in zip(storing.VARIABLES, (stand_in_s3.KEY_ID, stand_in_s3.SECRET), strict=False):
        monkeypatch.setenv(name, value)
    return describe(studio.server, "http://127.0.0.1:9")


@pytest.fixture
def project(studio: Studio) -> Iterator[int]:
    made = projects.create(studio.connection, "Of a bucket", labeling_configs.read("quick_start"))
    yield int(made.id or 0)
    studio.connection.sdk.projects.delete(int(made.id or 0))


def words(project: int, store: Store, *more: str) -> list[str]:
    return ["storage", "add", str(project), "--s3", "lab", "--endpoint", store.url, "--prefix", "plates", *more]


def annotate(connection: LabelStudio, project: int) -> int:
    (task,) = patiently(lambda: list(projects.tasks(connection, project)))
    return int(connection.sdk.annotations.create(task["id"], result=[]).id or 0)


@pytest.mark.integration
@pytest.mark.parametrize(("way", "scene"), [("--proxy", samples.SCENES[0]), ("--presign", samples.SCENES[1])])
def test_a_click_on_an_image_of_a_bucket_gives_the_right_mask(
    folder: Path,
    studio: Studio,
    project: int,
    store: Store,
    backend_url: str,
    tmp_path: Path,
    way: str,
    scene: samples.Scene,
) -> None:
    key = f"plates/a/{scene.file}"
    store.buckets["lab"] = {key: (tmp_path / "samples" / scene.file).read_bytes()}
    added = run(folder, *words(project, store, way))
    assert (added["changed"], added["tasks_created"]) == (True, 1)
    register = ["register", "--project", str(project), "--backend-url", backend_url]
    run(folder, *register, "--password-file", _password(folder))
    (task,) = patiently(lambda: list(projects.tasks(studio.connection, project)))
    asked = parse_qs(urlsplit(task["data"]["image"]).query)["fileuri"][0]
    assert base64.urlsafe_b64decode(asked).decode() == f"s3://lab/{key}"
    config = label_config.parse(labeling_configs.read("quick_start"))
    (record,) = studio.connection.sdk.ml.list(project=project)
    for shape in scene.shapes[:2]:
        clicked = {"result": prompt(config, shape.click, (samples.WIDTH, samples.HEIGHT))}
        answer = interactive(studio.connection, int(record.id or 0), task["id"], clicked)
        assert samples.iou(decoded(answer, samples.mask(shape).shape), samples.mask(shape)) > 0.8
    assert ("GET", f"/lab/{key}") in store.seen


@pytest.mark.integration
def test_a_bucket_is_found_again_and_only_new_images_become_tasks(
    folder: Path, studio: Studio, project: int, store: Store
) -> None:
    first = run(folder, *words(project, store))
    assert first["did"] == [f"connected s3://lab/plates at {store.url} as source", "imported 1 images"]
    again = run(folder, *words(project, store))
    assert (again["changed"], again["did"], again["storages"]) == (False, [], first["storages"])
    assert "--renew-keys" in again["notes"][0]
    store.buckets["lab"]["plates/b.png"] = store.buckets["lab"][f"plates/a/{SCENE.file}"]
    assert run(folder, *words(project, store, "--check"))["changed"] is False
    assert run(folder, *words(project, store))["tasks_created"] == 1
    assert run(folder, *words(project, store, "--presign"))["did"] == ["set presign of the source to True"]
    (found,) = s3.storages(studio.connection, project, s3.SOURCE)
    assert (found.id, found.presign, found.regex_filter) == (first["storages"][0]["id"], True, storage.PATTERN)


@pytest.mark.integration
def test_keys_are_replaced_when_that_is_asked_for(
    folder: Path, studio: Studio, project: int, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(folder, *words(project, store))
    store.secret = "another"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    assert "--renew-keys" in fails(folder, *words(project, store))["command"]
    assert run(folder, *words(project, store, "--renew-keys"))["did"] == ["replaced the keys of the source"]
    assert run(folder, *words(project, store))["changed"] is False


@pytest.mark.integration
def test_with_check_nothing_is_connected(folder: Path, studio: Studio, project: int, store: Store) -> None:
    checked = run(folder, *words(project, store, "--as", "both", "--check"))
    assert checked["changed"] is True
    assert [each["id"] for each in checked["storages"]] == [None, None]
    assert s3.storages(studio.connection, project, s3.SOURCE) == []
    assert s3.storages(studio.connection, project, s3.TARGET) == []


@pytest.mark.integration
def test_annotations_are_written_into_a_target_and_one_that_cannot_be_written_is_not_kept(
    folder: Path, studio: Studio, project: int, store: Store
) -> None:
    """Or submitting an annotation would fail from then on."""
    both = run(folder, *words(project, store, "--as", "both"))
    assert "no annotation yet" in both["notes"][0]
    number = annotate(studio.connection, project)
    assert f"plates/{number}" in store.buckets["lab"]
    store.read_only = True
    elsewhere = [*words(project, store, "--as", "target")[:-3], "labels", "--as", "target"]
    assert fails(folder, *elsewhere)["link"] == "storage"
    assert [each.prefix for each in s3.storages(studio.connection, project, s3.TARGET)] == ["plates"]
    store.read_only = False
    assert run(folder, *elsewhere)["notes"] == []
    assert f"labels/{number}" in store.buckets["lab"]


@pytest.mark.integration
@pytest.mark.parametrize("wrong", ["keys", "prefix"])
def test_a_bucket_that_cannot_be_used_is_not_stored(
    folder: Path, studio: Studio, project: int, store: Store, wrong: str
) -> None:
    argv = words(project, store)
    if wrong == "keys":
        store.secret = "another"
    else:
        argv[-1] = "absent"
    status, answer = invoke(folder, *argv)
    assert (status, answer["changed"]) == (1, False)
    assert "keys that may list the bucket" in answer["error"]["expected"]
    assert stand_in_s3.SECRET not in str(answer)
    assert s3.storages(studio.connection, project, s3.SOURCE) == []
    assert s3.IN_THE_LOG in studio.server.log
    assert s3.IN_THE_LOG in answer["error"]["command"]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        ("http://10.255.255.1:9000", "label_studio_admitted_addresses: [10.255.255.1]"),
        ("http://127.0.0.2:9000", "leads to the container itself"),
    ],
)
def test_what_the_guard_refuses_is_told_with_the_line_that_admits_it(
    folder: Path, project: int, endpoint: str, told: str
) -> None:
    error = fails(folder, "storage", "add", str(project), "--s3", "lab", "--endpoint", endpoint)
    assert error["link"] == "storage"
    assert told in error["expected"]


def test_a_name_that_label_studio_does_not_know_is_told() -> None:
    error = s3.refused(s3.Bucket("lab", endpoint="http://minio.lab:9000"), "500 Can't resolve hostname minio.lab")
    assert "name service" in error.expected
    assert "getent ahosts minio.lab " in error.command


def test_keys_come_from_a_file_the_environment_or_a_person(tmp_path: Path) -> None:
    file = tmp_path / "s3-keys"
    file.touch(mode=0o600)
    file.write_text(KEYS)
    wanted = s3.Keys(stand_in_s3.KEY_ID, stand_in_s3.SECRET)
    environment = dict(zip(storing.VARIABLES, ("theirs", "secret", "session"), strict=True))
    answers = {"Access key ID": ("typed", False), "Secret access key": ("hidden", True)}

    def ask(what: str, hidden: bool) -> str:
        answer, expected = answers[what]
        assert hidden is expected
        return answer

    assert storing.keys_from(environment, file, ask) == wanted
    assert storing.keys_from(environment, None, ask) == s3.Keys("theirs", "secret", "session")
    assert storing.keys_from({}, None, ask) == s3.Keys("typed", "hidden")
    assert "secret" not in repr(s3.Keys("theirs", "secret", "session"))


def test_keys_that_are_missing_or_open_to_others_are_told(tmp_path: Path) -> None:
    with pytest.raises(SamstudioError, match="no AWS_SECRET_ACCESS_KEY in the environment"):
        storing.keys_from({"AWS_ACCESS_KEY_ID": "half"}, None, None)
    with pytest.raises(WrongCommandLine, match="no such file"):
        storing.keys_from({}, tmp_path / "absent", None)
    file = tmp_path / "s3-keys"
    file.write_text(KEYS)
    file.chmod(0o644)
    with pytest.raises(SamstudioError, match="open to others"):
        storing.keys_from({}, file, None)
    file.chmod(0o600)
    file.write_text(f"aws_secret_access_key = {stand_in_s3.SECRET}\n")
    with pytest.raises(SamstudioError, match="cannot be used") as told:
        storing.keys_from({}, file, None)
    assert stand_in_s3.SECRET not in str(told.value)


def _password(folder: Path) -> str:
    file = folder / "password"
    file.touch(mode=0o600)
    file.write_text(real_backend.PASSWORD)
    return str(file)
