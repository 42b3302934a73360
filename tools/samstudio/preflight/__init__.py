"""Look before touching: `probe` finds out what a host has, `plan` decides what will be used and why."""
