"""Signal and gradient of each layer before training.

Networks where these fade from layer to layer were seen to learn late, or not at all.
"""

import torch
from torch import Tensor, nn

from common.data.datasets import Dataset
from common.training.loop import Run, initial_model

IMAGES = 1000  # the first of the training set


def initial_signals(run: Run, dataset: Dataset) -> list[dict[str, str | float]]:
    """A row a layer with weights, for the first weights of a run: layer, signal, gradient.

    The signal is the standard deviation of a layer's outputs over images, before the activation: 0
    where the layer gives the same for every image. The gradient is the root mean square over a
    layer's weights of the derivative of the mean loss. After Glorot, Bengio, Understanding the
    difficulty of training deep feedforward neural networks, 2010.
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
