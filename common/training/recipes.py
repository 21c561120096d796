"""How networks are trained: what a recipe consists of, all recipes, and the optimiser."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from common.data.transforms import distort, flip_and_shift

Loss = Callable[[Tensor, Tensor], Tensor]  # of scores (N, classes) and labels (N,), their mean


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. Every field is part of the fingerprint, except the name.

    Options may change epochs, batch_size, lr and momentum. The rest is fixed by the recipe.

    lr: learning rate; with a schedule the highest one.
    momentum: None for an optimiser that has none.
    optimizer: a class of torch.optim.
    loss: mean loss of scores (N, classes) and labels (N,), in training and in testing.
    schedule: makes the learning-rate schedule from optimiser, lr and the number of steps;
        None: the rate is constant.
    initialise: sets the first weights of a network from torch's global random numbers; None:
        the network's own.
    augment: changes uint8 images (N, C, H, W) at random, see data/transforms.py.
    """

    name: str
    epochs: int
    batch_size: int
    lr: float
    momentum: float | None
    optimizer: type[torch.optim.Optimizer] = torch.optim.SGD
    loss: Loss = F.cross_entropy
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: Callable[[torch.optim.Optimizer, float, int], LRScheduler] | None = None
    initialise: Callable[[nn.Module], None] | None = None
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None


def make_optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of the recipe for the weights of `model`.

    Raises:
        ValueError: the optimiser does not fit the recipe or the training loop.
    """
    options = inspect.signature(recipe.optimizer).parameters
    closure = inspect.signature(recipe.optimizer.step).parameters["closure"]
    wanted = {
        "momentum": recipe.momentum or 0.0,
        "nesterov": recipe.nesterov and bool(recipe.momentum),
        "weight_decay": recipe.weight_decay,
    }
    lacking = [name for name, value in wanted.items() if value and name not in options]
    lacking += ["step without a closure"] if closure.default is closure.empty else []
    if lacking:
        optimizer = recipe.optimizer.__name__
        lacks = " and no ".join(lacking)
        raise ValueError(f"recipe {recipe.name}: {optimizer} has no {lacks}; change the recipe")
    arguments = {name: value for name, value in wanted.items() if name in options}
    if recipe.momentum is None:
        arguments.pop("momentum", None)
    if "fused" in options:
        arguments["fused"] = True  # one call for all weights
    return recipe.optimizer(model.parameters(), lr=recipe.lr, **arguments)


def one_cycle(optimizer: torch.optim.Optimizer, lr: float, steps: int) -> LRScheduler:
    """Up to `lr` during the first 30 % of the steps, then down to nearly 0, along cosines.

    Smith, Topin, Super-convergence, 2018.
    """
    return OneCycleLR(optimizer, max_lr=lr, total_steps=steps, cycle_momentum=False)


def kaiming(model: nn.Module) -> None:
    """First weights that keep the scale of the signal through layers of ReLU; biases are 0.

    Normal, variance 2 / fan-in: He, Zhang, Ren, Sun, Delving deep into rectifiers, 2015. PyTorch's
    own weights are uniform with variance 1 / (3 fan-in): each layer more than halves the signal.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)


def competing(scores: Tensor, labels: Tensor, rubbish: float) -> Tensor:
    """Equation 9 of the paper of 1998: the distance to the right class, and its competitors.

    The mean of d_right + log(exp(-j) + sum_i exp(-d_i)). The scores are minus the squared distances
    d. This is cross-entropy with one more class, rubbish, whose score is always -j.
    """
    with_rubbish = F.pad(scores, (0, 1), value=-rubbish)
    return F.cross_entropy(with_rubbish, labels)


# CIFAR-10. What PyTorch's 60-minute tutorial does; the explorations compare with this budget.
TUTORIAL = Recipe("tutorial", epochs=2, batch_size=4, lr=0.001, momentum=0.9)
TUTORIAL_LONG = replace(TUTORIAL, name="tutorial-long", epochs=20)
TUTORIAL_KAIMING = replace(TUTORIAL, name="tutorial-kaiming", initialise=kaiming)

# Chosen on held-out training images, for the baseline and one larger network: see README.txt.
TUNED = Recipe(
    "tuned",
    epochs=40,
    batch_size=64,
    lr=0.03,
    momentum=0.9,
    nesterov=True,
    weight_decay=1e-3,
    schedule=one_cycle,
    initialise=kaiming,
    augment=flip_and_shift,
)

# MNIST. The recipe of the 2017 report.
REPORT2017 = Recipe("report2017", epochs=10, batch_size=64, lr=0.01, momentum=0.5)

# Chosen on held-out training images: see README.txt.
MODERN = Recipe(
    "modern",
    epochs=20,
    batch_size=64,
    lr=0.05,
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
    schedule=one_cycle,
)
# The same on digits that are distorted again in every epoch; this needs more epochs.
MODERN_DISTORTED = replace(MODERN, name="modern-distorted", epochs=40, augment=distort)
# Half the distortion, waves in addition, more epochs. On held-out digits LeNet-5 makes fewer errors
# with waves than without.
MODERN_ELASTIC = replace(
    MODERN,
    name="modern-elastic",
    epochs=60,
    augment=partial(distort, shift=1.0, scale=0.075, squeeze=0.05, shear=0.1, wave=0.7),
)

# The loss of the paper of 1998. The paper's optimiser, a stochastic diagonal Levenberg-Marquardt
# method, takes one image a step and sets the rate of each weight by the curvature. This recipe has
# batches of 64, momentum and the schedule of the other recipes: on held-out digits neither batches
# of 16 nor rates by the curvature were better. The paper gives no j (`rubbish`) and has no weight
# decay; both, the rate and the epochs were chosen on held-out digits too.
LECUN1998 = replace(
    MODERN,
    name="lecun1998",
    epochs=12,
    lr=0.003,
    loss=partial(competing, rubbish=10.0),
    weight_decay=1e-3,
)
LECUN1998_DISTORTED = replace(LECUN1998, name="lecun1998-distorted", epochs=30, augment=distort)
