"""Signal and gradient of each layer before training: where both fade, networks learn late."""

import torch
from torch import Tensor, nn

from common.data.datasets import Dataset
from common.training.loop import Run, initial_model


def initial_signals(run: Run, dataset: Dataset) -> list[dict[str, str | float]]:
    """One row per layer with weights: layer, signal and gradient for 1,000 training images.

    The signal is the standard deviation of a layer's outputs over images, before the activation.
    The gradient is the root mean square of the derivatives of the mean loss with respect to the
    layer's weights. Source: Glorot, Bengio, Understanding the difficulty of training deep
    feedforward neural networks, 2010.
    """
    torch.set_num_threads(1)  # as in training: more threads change the last digits
    model = initial_model(run)
    outputs: dict[nn.Module, Tensor] = {}
    layers = [
        (name.split(".")[-1], module)
        for name, module in model.named_modules()
        if getattr(module, "weight", None) is not None
    ]
    for _, module in layers:
        module.register_forward_hook(lambda module, _, output: outputs.update({module: output}))
    images, labels = (part[:1000].cpu() for part in dataset.train)
    run.recipe.loss(model(dataset.normalised(images)), labels).backward()
    return [
        {
            "layer": name,
            "signal": outputs[module].detach().std(0).square().mean().sqrt().item(),
            "gradient": module.weight.grad.square().mean().sqrt().item(),
        }
        for name, module in layers
    ]
