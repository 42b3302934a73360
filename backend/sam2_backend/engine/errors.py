"""What can go wrong before a model serves: each message says what was found, what was expected and what to do.

EngineError
├── DeviceUnavailable     the device or precision that was asked for is not there
├── CheckpointError       the checkpoint is missing, truncated, not a checkpoint, or of another model
├── UnsupportedModel      the config is not a SAM 2 image model this engine can run
└── SelfCheckFailed       the engine's masks differ from fp32 of the same weights
"""


class EngineError(Exception):
    """Base of all; the model cannot be served."""


class DeviceUnavailable(EngineError):
    pass


class CheckpointError(EngineError):
    pass


class UnsupportedModel(EngineError):
    pass


class SelfCheckFailed(EngineError):
    pass
