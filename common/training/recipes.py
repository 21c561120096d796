"""How networks are trained: what a recipe consists of, and what it means in torch."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.data.augmentation import distort
from common.training.evaluation import Loss


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. The optimiser is SGD.

    Options may change epochs, batch size, lr and momentum; all else stands for the name.

    loss: the mean loss of scores (N, classes) and labels (N,); that of training and of testing.

    schedule: `constant`, or `one-cycle` (Smith and Topin, 2018): up to `lr` during the first 30 %
    of the steps and down to nearly zero, along cosines.
    initialise: gives a network its first weights, from torch's global random numbers; without it
    they are PyTorch's own.
    augment: varies training images, see `augmentation`.
    """

    name: str
    epochs: int
    batch_size: int
    lr: float
    momentum: float
    loss: Loss = F.cross_entropy
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: str = "constant"
    initialise: Callable[[nn.Module], None] | None = None
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None

    @property
    def key(self) -> tuple[str | int | float, ...]:
        """Its cells in the result files: the name, and the numbers that options may change."""
        return (self.name, self.epochs, self.batch_size, self.lr, self.momentum)


def competing(scores: Tensor, labels: Tensor, rubbish: float) -> Tensor:
    """Equation 9 of the paper of 1998: the right class's distance, and how near the others come.

    The mean of d_right + log(exp(-j) + sum_i exp(-d_i)), with scores of minus the squared distance
    d: cross-entropy with one class more, rubbish, of the constant score -j. The paper gives no j.
    """
    with_rubbish = F.pad(scores, (0, 1), value=-rubbish)
    return F.cross_entropy(with_rubbish, labels)


def mean_square(scores: Tensor, labels: Tensor) -> Tensor:
    """Equation 8 of the paper of 1998: the mean squared distance to the right class's code.

    No recipe has it: nothing in it makes the classes compete, as the paper says.
    """
    return -scores.gather(1, labels[:, None]).mean()


# What PyTorch's 60-minute tutorial does; every script of Part 1 compares at this budget.
TUTORIAL = Recipe("tutorial", epochs=2, batch_size=4, lr=0.001, momentum=0.9)

# What the networks of Part 2 can do; chosen on held-out training images, see README.txt.
MODERN = Recipe(
    "modern",
    epochs=20,
    batch_size=64,
    lr=0.05,
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
    schedule="one-cycle",
)

# The same on digits distorted anew in every epoch, which takes more of them.
MODERN_DISTORTED = replace(MODERN, name="modern-distorted", epochs=40, augment=distort)

# Distorted by half as much, waved besides, and for longer: for LeNet-5, which errs less on held-out
# digits with the waves than without.
MODERN_ELASTIC = replace(
    MODERN,
    name="modern-elastic",
    epochs=60,
    augment=partial(distort, shift=1.0, scale=0.075, squeeze=0.05, shear=0.1, wave=0.7),
)

# The loss of the paper of 1998. Its optimiser, a stochastic diagonal Levenberg-Marquardt method,
# takes one image a step, 1.2 million steps of about a millisecond in 20 epochs. It sets the rate of
# each weight by the curvature, and lowers a global rate from 0.0005 to 0.00001. Here are batches of
# 64, momentum, and the schedule of the other recipes: on held-out digits neither batches of 16 nor
# rates by the curvature did better. The paper gives no j, and has no weight decay; these, the rate
# and the epochs were chosen there too.
LECUN1998 = replace(
    MODERN,
    name="lecun1998",
    epochs=12,
    lr=0.003,
    loss=partial(competing, rubbish=10.0),
    weight_decay=1e-3,
)
LECUN1998_DISTORTED = replace(LECUN1998, name="lecun1998-distorted", epochs=30, augment=distort)


def optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of the recipe for the weights of `model`.

    On CUDA the learning rate lies on the device, where a captured step can see it change.
    """
    device = next(model.parameters()).device
    lr = torch.tensor(recipe.lr, device=device) if device.type == "cuda" else recipe.lr
    return torch.optim.SGD(
        model.parameters(),
        lr=lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov and recipe.momentum > 0,
        weight_decay=recipe.weight_decay,
        fused=True,
    )


def scheduler(
    recipe: Recipe, optimizer: torch.optim.Optimizer, steps: int
) -> torch.optim.lr_scheduler.LRScheduler | None:
    """The learning-rate schedule of the recipe, to be stepped after every batch."""
    if recipe.schedule == "constant":
        return None
    if recipe.schedule == "one-cycle":
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=recipe.lr, total_steps=steps, cycle_momentum=False
        )
    raise ValueError(f"no schedule {recipe.schedule}")


def kaiming(model: nn.Module) -> None:
    """Weights that keep the scale of the signal through layers of ReLU; biases of 0.

    He, Zhang, Ren, Sun, Delving deep into rectifiers, 2015: normal, variance 2 / fan-in. PyTorch's
    own, uniform with variance 1 / (3 fan-in), lets the signal fade by more than half a layer.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
