"""Recipes: how networks are trained. All recipes of the lab, and their optimisers."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from common.data.transforms import distort, flip_and_shift

Loss = Callable[[Tensor, Tensor], Tensor]  # scores (N, classes), labels (N,) -> mean loss
Augment = Callable[[Tensor, torch.Generator], Tensor]  # uint8 images (N, C, H, W) -> changed ones


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. Every field is part of the fingerprint, except the name.

    Options may change epochs, batch_size, lr and momentum. The rest is fixed by the recipe.
    """

    name: str
    epochs: int
    batch_size: int
    lr: float  # learning rate; with a schedule the highest one
    momentum: float | None  # None: the optimiser has no momentum
    optimizer: type[torch.optim.Optimizer] = torch.optim.SGD
    loss: Loss = F.cross_entropy  # for training and test
    nesterov: bool = False
    weight_decay: float = 0.0
    # The learning rates, from an optimiser, lr and the number of steps; None: constant.
    schedule: Callable[..., LRScheduler] | None = None
    # Sets initial weights from torch's global random numbers; None: the network's own.
    initialise: Callable[[nn.Module], None] | None = None
    augment: Augment | None = None  # see data/transforms.py


NUMBERS = ("epochs", "batch_size", "lr", "momentum")  # of a recipe; options may change them


def label(recipe: Recipe, others: Sequence[Recipe] = ()) -> str:
    """The recipe's name and changed numbers, for names of files: `modern-epochs5-lr0.02`.

    Changed from the recipe of this name in `others` or in this file.
    """
    named = [*others, *(value for value in globals().values() if isinstance(value, Recipe))]
    plain = next((value for value in named if value.name == recipe.name), recipe)
    numbers = [(name, getattr(recipe, name)) for name in NUMBERS]
    changed = [(name, value) for name, value in numbers if value != getattr(plain, name)]
    return "-".join([recipe.name, *(f"{name.replace('_', '')}{value}" for name, value in changed)])


def make_optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of the recipe for the weights of `model`. ValueError: it does not fit."""
    options = inspect.signature(recipe.optimizer).parameters
    closure = inspect.signature(recipe.optimizer.step).parameters["closure"]
    wanted = {
        "momentum": recipe.momentum,
        "nesterov": recipe.nesterov and bool(recipe.momentum),
        "weight_decay": recipe.weight_decay,
    }
    lacking = [name for name, value in wanted.items() if value and name not in options]
    lacking += ["step without a closure"] if closure.default is closure.empty else []
    if lacking:
        lacks = f"{recipe.optimizer.__name__} has no {' and no '.join(lacking)}"
        raise ValueError(f"recipe {recipe.name}: {lacks}; change the recipe")
    wanted["fused"] = True  # one call for all weights
    arguments = {name: wanted[name] for name in options if wanted.get(name) is not None}
    return recipe.optimizer(model.parameters(), lr=recipe.lr, **arguments)


def one_cycle(optimizer: torch.optim.Optimizer, lr: float, steps: int) -> LRScheduler:
    """The rate rises to `lr` in the first 30 % of the steps, then falls to nearly 0 (cosines).

    Smith, Topin, Super-convergence, 2018.
    """
    return OneCycleLR(optimizer, max_lr=lr, total_steps=steps, cycle_momentum=False)


def kaiming(model: nn.Module) -> None:
    """Kaiming initialisation: ReLU layers keep the scale of the signal; biases are 0.

    Normal, variance 2 / fan-in: He, Zhang, Ren, Sun, Delving deep into rectifiers, 2015. PyTorch's
    default is uniform with variance 1 / (3 fan-in): each layer more than halves the signal.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)


def competing(scores: Tensor, labels: Tensor, rubbish: float) -> Tensor:
    """Equation 9 of the paper of 1998: the mean of d_right + log(exp(-j) + sum_i exp(-d_i)).

    The scores are minus the squared distances d to the classes. The loss equals cross-entropy with
    one more class, `rubbish`, with the constant score -j.
    """
    with_rubbish = F.pad(scores, (0, 1), value=-rubbish)
    return F.cross_entropy(with_rubbish, labels)


# What recipes with a one-cycle schedule have in common.
ONE_CYCLE = {"batch_size": 64, "momentum": 0.9, "nesterov": True, "schedule": one_cycle}

# CIFAR-10. The recipe of PyTorch's 60-minute tutorial; the explorations use its budget by default.
TUTORIAL = Recipe("tutorial", epochs=2, batch_size=4, lr=0.001, momentum=0.9)
TUTORIAL_LONG = replace(TUTORIAL, name="tutorial-long", epochs=20)
TUTORIAL_KAIMING = replace(TUTORIAL, name="tutorial-kaiming", initialise=kaiming)

# Chosen on held-out training images, for the baseline and one larger network: see README.txt.
TUNED = Recipe(
    "tuned",
    epochs=40,
    lr=0.03,
    weight_decay=1e-3,
    initialise=kaiming,
    augment=flip_and_shift,
    **ONE_CYCLE,
)

# MNIST. The recipe of the 2017 report.
REPORT2017 = Recipe("report2017", epochs=10, batch_size=64, lr=0.01, momentum=0.5)

# Chosen on held-out training images: see README.txt.
MODERN = Recipe("modern", epochs=20, lr=0.05, weight_decay=5e-4, **ONE_CYCLE)
# The same with random distortions of the digits; this needs more epochs.
MODERN_DISTORTED = replace(MODERN, name="modern-distorted", epochs=40, augment=distort)
# Half the distortion, plus waves, and more epochs. On held-out digits, LeNet-5 makes fewer errors
# with waves than without.
ELASTIC = partial(distort, shift=1.0, scale=0.075, squeeze=0.05, shear=0.1, wave=0.7)
MODERN_ELASTIC = replace(MODERN, name="modern-elastic", epochs=60, augment=ELASTIC)

# The loss of the paper of 1998. The paper's optimiser, a stochastic diagonal Levenberg-Marquardt
# method, uses one image per step and a learning rate per weight that depends on the curvature. This
# recipe has batches of 64, momentum and the schedule of the other recipes: on held-out digits,
# neither batches of 16 nor rates from the curvature are better. The paper does not give j
# (`rubbish`) and has no weight decay. We chose j, weight decay, learning rate and number of epochs
# on held-out digits.
EQUATION_9 = partial(competing, rubbish=10.0)
LECUN1998 = replace(
    MODERN, name="lecun1998", epochs=12, lr=0.003, weight_decay=1e-3, loss=EQUATION_9
)
LECUN1998_DISTORTED = replace(LECUN1998, name="lecun1998-distorted", epochs=30, augment=distort)
