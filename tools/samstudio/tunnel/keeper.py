"""Keep a tunnel open, and Label Studio informed of its address."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from samstudio import moments
from samstudio.errors import SamstudioError
from samstudio.processes import started_at
from samstudio.tunnel.agent import Agent
from samstudio.tunnel.state import TunnelState, forget_state

Register = Callable[[str], str]
"""Registers a public URL with Label Studio; returns what it did, raises SamstudioError."""


class Keeper:
    """The life of a tunnel: open, publish, look after, and publish again whenever the address changes."""

    def __init__(
        self,
        agent: Agent,
        backend: str,
        *,
        state_file: Path,
        say: Callable[[str], None],
        wanted_url: str | None = None,
        label_studio: str | None = None,
        register: Register | None = None,
    ) -> None:
        self._agent = agent
        self._backend = backend
        self._state_file = state_file
        self._say = say
        self._wanted_url = wanted_url
        self._label_studio = label_studio
        self._register = register
        self._state: TunnelState | None = None

    def open(self) -> TunnelState:
        """Open and publish; the first failure is the caller's to tell.

        Raises:
            TunnelError: the tunnel cannot be opened.
            OSError: the address cannot be written down; nobody was told it.
        """
        try:
            return self._publish(self._agent.open(self._backend, self._wanted_url))
        except BaseException:
            if self._state is not None:
                forget_state(self._state_file)
            raise

    def run(self, interval: float) -> None:
        """Look every ``interval`` seconds, until KeyboardInterrupt."""
        try:
            while True:
                time.sleep(interval)
                self.look()
        finally:
            forget_state(self._state_file)

    def look(self) -> None:
        """One look: reopen what is gone, publish what changed, register what is not registered yet."""
        url = self._agent.url()
        if url is None:
            self._say("The tunnel is gone; opening it again.")
            try:
                url = self._agent.open(self._backend, self._wanted_url)
            except SamstudioError as error:
                self._say(str(error))
                return
        if self._state is None or url != self._state.url or not self._state.registered:
            self._publish(url)

    def _publish(self, url: str) -> TunnelState:
        opened_at = moments.now()
        if self._state is None or url != self._state.url:
            self._say(f"Open: {url} -> {self._backend}")
        own, agent = os.getpid(), self._agent.process
        state = TunnelState(
            url,
            self._backend,
            opened_at,
            self._label_studio,
            process=own,
            process_started=started_at(own),
            agent=agent,
            agent_started=started_at(agent),
        )
        self._write(state)  # first: what cannot be written down is registered with nobody
        if self._registered(url):
            state = replace(state, registered=True)
            self._write(state)
        return state

    def _write(self, state: TunnelState) -> None:
        state.write(self._state_file)
        self._state = state

    def _registered(self, url: str) -> bool:
        if self._register is None:
            return True
        try:
            self._say(self._register(url))
        except SamstudioError as error:
            self._say(f"Not registered with {self._label_studio} yet: {error}")
            return False
        return True
