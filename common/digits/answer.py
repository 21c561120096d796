"""What networks make of a drawing: probabilities and feature maps, as data for JSON."""

import base64
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.data.datasets import MNIST_NORMALISATION
from common.digits.prepare import prepare
from common.models.design import layer_outputs

SIDE = 280  # of a drawing, in pixels
LAYERS = ("C1", "S2", "C3", "S4")


@torch.inference_mode()
def answer(models: dict[str, nn.Module], drawing: bytes) -> dict[str, Any]:
    """What networks make of a drawing. Two threads may not use the same networks at once.

    Args:
        models: networks in eval mode by name; they take normalised images, float32 (N, 1, 28, 28).
        drawing: SIDE * SIDE bytes, row by row, 0 is paper, 255 is ink. ValueError: other sizes.

    Returns:
        `image`, the prepared drawing, and `networks`: of each its `name`, ten `probabilities`, and
        `layers`, the feature maps by layer. Images are as `encoded` returns them.
    """
    ink = np.frombuffer(drawing, np.uint8).reshape(SIDE, SIDE).astype(np.float32) / 255
    image = torch.from_numpy(prepare(ink))
    mean, deviation = MNIST_NORMALISATION
    x = (image[None, None] / 255 - mean) / deviation  # (1, 1, 28, 28)
    networks = []
    for name, model in models.items():
        outputs = layer_outputs(model, x)
        layers = {name: encoded(scaled(outputs[name][0])) for name in LAYERS if name in outputs}
        *_, scores = outputs.values()
        probabilities = scores[0].softmax(0).tolist()
        networks.append({"name": name, "probabilities": probabilities, "layers": layers})
    return {"image": encoded(image[None]), "networks": networks}


def scaled(values: Tensor) -> Tensor:
    """Feature maps of a layer as uint8: its lowest value is 0, its highest 255."""
    low, high = values.min(), values.max()
    return ((values - low) / (high - low).clamp(min=1e-9) * 255).to(torch.uint8)


def encoded(images: Tensor) -> dict[str, Any]:
    """uint8 images (N, H, W) as `shape` and `pixels`, their bytes in base 64."""
    pixels = base64.b64encode(images.numpy().tobytes()).decode()
    return {"shape": list(images.shape), "pixels": pixels}
