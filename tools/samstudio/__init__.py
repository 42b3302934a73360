"""Helpers that put SAM 2 behind Label Studio: what the Ansible roles call, and what a person types."""

__version__ = "0.1.0"
