"""What an address in a task means."""

from __future__ import annotations

import pytest
from sam2_backend.images.sources import is_own_file, locate, origin_of
from sam2_backend.problems import Problem

STUDIO = "http://label-studio:8080"


@pytest.mark.parametrize(
    ("address", "url", "trusted"),
    [
        ("/data/upload/1/a.png", f"{STUDIO}/data/upload/1/a.png", True),
        ("upload/1/a.png", f"{STUDIO}/data/upload/1/a.png", True),
        ("/data/local-files/?d=x/a.png", f"{STUDIO}/data/local-files/?d=x/a.png", True),
        ("http://localhost:8080/data/local-files/?d=a.png", f"{STUDIO}/data/local-files/?d=a.png", True),
        ("https://labels.example/data/upload/1/a.png", f"{STUDIO}/data/upload/1/a.png", True),
        ("https://known.example/data/local-files/?d=a.png", f"{STUDIO}/data/local-files/?d=a.png", True),
        ("https://known.example/static/samples/a.png", f"{STUDIO}/static/samples/a.png", True),
        ("https://other.example/static/samples/a.png", "https://other.example/static/samples/a.png", False),
        ("https://other.example/anything.png", "https://other.example/anything.png", False),
        ("https://other.example/?x=/data/upload/1/a.png", "https://other.example/?x=/data/upload/1/a.png", False),
        ("s3://bucket/a.png", f"{STUDIO}/tasks/7/resolve/?fileuri=czM6Ly9idWNrZXQvYS5wbmc=", True),
        ("gs://bucket/a.png", f"{STUDIO}/tasks/7/resolve/?fileuri=Z3M6Ly9idWNrZXQvYS5wbmc=", True),
        ("azure-blob://box/a.png", f"{STUDIO}/tasks/7/resolve/?fileuri=YXp1cmUtYmxvYjovL2JveC9hLnBuZw==", True),
    ],
)
def test_where_it_lies(address: str, url: str, trusted: bool) -> None:
    source = locate(address, task=7, label_studio=STUDIO, aliases=["https://known.example"], only_one=True)
    assert source.url == url
    assert bool(source.label_studio) == trusted


def test_without_a_set_url_a_look_alike_is_a_plain_url() -> None:
    address = "https://labels.example/data/upload/1/a.png"
    assert locate(address, task=7, label_studio=STUDIO).label_studio == ""


def test_a_prefix_is_not_doubled() -> None:
    source = locate("https://host.example/ls/data/upload/1/a.png", task=1, label_studio="https://host.example/ls")
    assert source.url == "https://host.example/ls/data/upload/1/a.png"


@pytest.mark.parametrize("address", ["/data/upload/1/a.png", "s3://bucket/a.png"])
def test_an_unknown_label_studio_is_named(address: str) -> None:
    with pytest.raises(Problem, match="LABEL_STUDIO_URL"):
        locate(address, task=7, label_studio="")


def test_default_ports_are_one_origin() -> None:
    assert origin_of("https://Host.example") == origin_of("https://host.example:443/path")
    assert origin_of("http://host.example") != origin_of("https://host.example")


@pytest.mark.parametrize(
    "address",
    [
        "/api/projects/1/export",
        "/api/current-user/token",
        "/data/upload/../../api/projects/1/export",
        "/data/upload/%2e%2e/%2e%2e/api/projects/1/export",
        "/data/upload/..\\..\\api/projects/1/export",
        "/user/account",
        "/data/",
    ],
)
def test_a_path_that_is_no_image_never_gets_the_token(address: str) -> None:
    with pytest.raises(Problem, match="no image file of Label Studio"):
        locate(address, task=7, label_studio=STUDIO, only_one=True)


@pytest.mark.parametrize("address", [f"{STUDIO}/api/projects/1/export", "https://known.example/api/projects/1/export"])
def test_an_address_of_its_own_that_is_no_image_is_a_plain_url(address: str) -> None:
    source = locate(address, task=7, label_studio=STUDIO, aliases=["https://known.example"], only_one=True)
    assert (source.url, source.label_studio) == (address, "")


@pytest.mark.parametrize(
    ("url", "own"),
    [
        (f"{STUDIO}/data/upload/1/a.png", True),
        (f"{STUDIO}/api/projects/1/export", False),
        ("http://elsewhere:8080/data/upload/1/a.png", False),
    ],
)
def test_what_a_redirect_may_carry_the_token_to(url: str, own: bool) -> None:
    assert is_own_file(url, STUDIO) == own
