"""SAM 2 behind Label Studio: an interactive segmentation backend that speaks Label Studio's ML contract."""

__version__ = "0.1.0"
