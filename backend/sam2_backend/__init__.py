"""SAM 2 behind Label Studio: an interactive segmentation backend that speaks Label Studio's ML contract."""
