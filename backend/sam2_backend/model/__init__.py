"""Which model is served: official checkpoints, their download, and loading them into an engine."""
