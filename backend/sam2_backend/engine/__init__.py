"""Inference engines: image in, image embedding out, prompts in, low-res mask logits out."""
