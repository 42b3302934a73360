"""The ngrok authtoken, from the environment or a 0600 file, and nowhere else afterwards."""

from __future__ import annotations

import stat
from collections.abc import MutableMapping
from pathlib import Path

from samstudio.tunnel.failures import NO_TOKEN, TOKEN_FILE_OPEN, TunnelError

VARIABLE = "NGROK_AUTHTOKEN"


def take_authtoken(file: Path, environ: MutableMapping[str, str]) -> str:
    """The token; it is *removed* from ``environ``, as pyngrok would put it on the agent's command line from there.

    Raises:
        TunnelError: no token, or a file that others can read.
    """
    given = environ.pop(VARIABLE, "").strip()
    if given:
        return given
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        token = file.read_text().strip()
    except OSError as error:
        raise TunnelError(NO_TOKEN, file=file) from error
    if mode & 0o077:
        raise TunnelError(TOKEN_FILE_OPEN, file=file, mode=f"{mode:04o}")
    if not token:
        raise TunnelError(NO_TOKEN, file=file)
    return token
