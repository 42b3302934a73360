"""Inference engines: image in, image embedding out, prompts in, low-res mask logits out.

`load_engine` picks the one for this host and checks it against fp32; `base.Engine` is what it gives.
"""

from sam2_backend.engine.select import load_engine

__all__ = ["load_engine"]
