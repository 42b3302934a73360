from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samstudio.addresses import normalise


@pytest.mark.parametrize(
    ("typed", "mended"),
    [
        ("192.168.1.5:9090", "http://192.168.1.5:9090"),
        ("sam2-backend", "http://sam2-backend:9090"),
        ("//sam2-backend:1", "http://sam2-backend:1"),
        ("HTTP://Lab.Example.COM:9090/", "http://lab.example.com:9090"),
        ("http://lab:9090/predict?x=1", "http://lab:9090"),
        ("https://lab.example.com", "https://lab.example.com"),
        ("http://lab:80", "http://lab"),
        ("fd00::20", "http://[fd00::20]:9090"),
        ("[fd00::20]:9091", "http://[fd00::20]:9091"),
        (' "http://lab:9090" ', "http://lab:9090"),
    ],
)
def test_a_url_is_mended(typed: str, mended: str) -> None:
    address = normalise(typed, default_port=9090)
    assert address.url == mended
    assert normalise(address.url, default_port=80).changes == ()


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("", "empty"),
        ("http://", "no host"),
        ("ftp://lab", "ftp"),
        ("http://lab:99999", "port"),
        ("http://lab:port", "port"),
        ("http://user:secret@lab", "credentials"),
        ("0.0.0.0:9090", "listen"),
    ],
)
def test_what_cannot_be_mended_is_explained(typed: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        normalise(typed)


def test_a_secret_in_a_url_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="credentials") as raised:
        normalise("http://user:hunter2@lab")
    assert "hunter2" not in str(raised.value)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_any_address_survives(ip: object, port: int) -> None:
    text = str(ip)
    if text in ("0.0.0.0", "::"):
        return
    typed = f"[{text}]:{port}" if ":" in text else f"{text}:{port}"
    address = normalise(typed)
    assert (address.host, address.port) == (text, port)
    assert normalise(address.url) == address.__class__(address.scheme, text, port)
