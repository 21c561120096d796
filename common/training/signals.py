"""Signal and gradient of each layer before training: where both fade, networks learn late."""

import torch
from torch import Tensor, nn

from common.data.datasets import Dataset
from common.training.loop import Run, initial_model

IMAGES = 1000  # the first training images


def initial_signals(run: Run, dataset: Dataset) -> list[dict[str, str | float]]:
    """One row per layer with weights, for the initial weights of a run: layer, signal, gradient.

    The signal is the standard deviation of a layer's outputs over images, before the activation. It
    is 0 if the outputs are the same for every image. The gradient is the root mean square of the
    derivatives of the mean loss with respect to the layer's weights. Source: Glorot, Bengio,
    Understanding the difficulty of training deep feedforward neural networks, 2010.
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
    scores = model(dataset.normalised(dataset.train.images[:IMAGES]).cpu())
    run.recipe.loss(scores, dataset.train.labels[:IMAGES].cpu()).backward()
    return [
        {
            "layer": name,
            "signal": outputs[module].detach().std(0).square().mean().sqrt().item(),
            "gradient": module.weight.grad.square().mean().sqrt().item(),
        }
        for name, module in layers
    ]
