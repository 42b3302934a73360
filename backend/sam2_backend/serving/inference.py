"""What lies between a request and the engine, in one hand."""

from __future__ import annotations

from dataclasses import dataclass

from sam2_backend.serving.device import Device
from sam2_backend.serving.embeddings import Embeddings
from sam2_backend.serving.gate import ClickGate
from sam2_backend.serving.predict import Predictor
from sam2_backend.serving.prewarm import Prewarmer


@dataclass(slots=True)
class Inference:
    """An image's address becomes its embedding, a prompt on it a mask; who may come in, and what is prepared ahead.

    model_version: what Label Studio calls the model.
    """

    model_version: str
    device: Device
    embeddings: Embeddings
    predictor: Predictor
    prewarmer: Prewarmer
    gate: ClickGate
