"""The fingerprint: every edit that changes what is computed changes it, and no other."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.models.design import Design
from common.models.networks import CifarCNN, LeNet5, cifar_design
from common.training.fingerprint import fingerprint
from common.training.recipes import (
    LECUN1998,
    MODERN_ELASTIC,
    REPORT2017,
    TUNED,
    TUTORIAL,
    Recipe,
    competing,
    kaiming,
)

HALF = (0.5, 0.5)


def of(build: Callable[[], nn.Module], recipe: Recipe = TUTORIAL, mean: float = 0.5) -> str:
    return fingerprint(Design("any", build), recipe, (mean, 0.5))


class Edited(CifarCNN):
    """A network like the tutorial's whose parts tests replace."""

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            setattr(self, name, module)


class BatchNorm(CifarCNN):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.S2(self.C1_act(self.norm(self.C1(x))))
        x = self.S4(self.C3_act(self.C3(x))).flatten(1)
        return self.F7(self.F6_act(self.F6(self.F5_act(self.F5(x)))))


class Optional(CifarCNN):
    """With an option that is off."""

    def __init__(self, off: nn.Module) -> None:
        super().__init__()
        self.C1_norm = off

    def forward(self, x: Tensor) -> Tensor:
        x = self.S2(self.C1_act(self.C1_norm(self.C1(x))))
        x = self.S4(self.C3_act(self.C3(x))).flatten(1)
        return self.F7(self.F6_act(self.F6(self.F5_act(self.F5(x)))))


class Functional(CifarCNN):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x))


class Scaled(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.layer = nn.Linear(784, 10)
        self.register_buffer("factor", torch.tensor(factor))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1)) * self.factor


class Renamed(nn.Module):
    """The tutorial's network with other names, formatted in another way."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2))
        self.second = nn.Sequential(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2))
        self.dense = nn.Sequential(
            nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Another text."""
        return self.dense(self.second(self.first(image)).flatten(1))


class Undecided(nn.Module):
    """A network that torch.fx cannot trace."""

    def __init__(self, limit: float = 1.0, width: int = 10) -> None:
        super().__init__()
        self.layer = nn.Linear(784, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1)) if x.sum() > 0 else self.layer(-x.flatten(1))


NETWORKS = {
    "tutorial": CifarCNN,
    "wider": partial(CifarCNN, c1=8),
    "deeper": partial(CifarCNN, layers=9),
    "tanh": partial(CifarCNN, activation="tanh"),
    "one activation": partial(lambda: Edited(F6_act=nn.GELU())),
    "argument of an activation": partial(lambda: Edited(F6_act=nn.GELU(approximate="tanh"))),
    "padding": lambda: Edited(C3=nn.Conv2d(6, 16, 5, padding=2, padding_mode="reflect", stride=2)),
    "no bias": lambda: Edited(F6=nn.Linear(120, 84, bias=False)),
    "average pooling": lambda: Edited(S2=nn.AvgPool2d(2)),
    "dropout": lambda: Edited(F5_act=nn.Dropout(0.5)),
    "more dropout": lambda: Edited(F5_act=nn.Dropout(0.6)),
    "batch norm": BatchNorm,
    "functional call": Functional,
    "frozen": lambda: Edited(C1=nn.Conv2d(3, 6, 5).requires_grad_(False)),
    "scaled": lambda: Scaled(2.0),
    "scaled more": lambda: Scaled(3.0),
    "not traceable": Undecided,
    "not traceable, wider": lambda: Undecided(width=11),
}


def halved(images: Tensor, random: torch.Generator, by: int = 2) -> Tensor:
    """An augmentation."""
    darker = images // by
    return shade(darker)


def shade(images: Tensor) -> Tensor:
    return images + OFFSET


OFFSET = 1

RECIPES = {
    "tutorial": TUTORIAL,
    "epochs": replace(TUTORIAL, epochs=3),
    "lr": replace(TUTORIAL, lr=0.002),
    "momentum": replace(TUTORIAL, momentum=0.8),
    "nesterov": replace(TUTORIAL, nesterov=True),
    "weight decay": replace(TUTORIAL, weight_decay=1e-4),
    "optimiser": replace(TUTORIAL, optimizer=torch.optim.Adam, momentum=None),
    "schedule": replace(TUTORIAL, schedule=TUNED.schedule),
    "initialisation": replace(TUTORIAL, initialise=kaiming),
    "augmentation": replace(TUTORIAL, augment=TUNED.augment),
    "argument of augmentation": replace(TUTORIAL, augment=partial(TUNED.augment, pixels=3)),
    "another augmentation": replace(TUTORIAL, augment=MODERN_ELASTIC.augment),
    "one's own": replace(TUTORIAL, augment=halved),
    "lambda": replace(TUTORIAL, augment=lambda images, random: images),
    "loss": LECUN1998.loss and replace(TUTORIAL, loss=LECUN1998.loss),
    "argument of loss": replace(TUTORIAL, loss=partial(competing, rubbish=5.0)),
}


def test_every_change_of_the_network_differs() -> None:
    found = {name: of(build) for name, build in NETWORKS.items()}
    assert len(set(found.values())) == len(found), found


def test_every_change_of_the_recipe_differs() -> None:
    found = {name: of(CifarCNN, recipe) for name, recipe in RECIPES.items()}
    found["normalisation"] = of(CifarCNN, mean=0.4)
    assert len(set(found.values())) == len(found), found
    assert all(len(value) == 8 and int(value, 16) >= 0 for value in found.values())


def test_names_and_random_weights_do_not_count() -> None:
    torch.manual_seed(1)
    first = of(CifarCNN)
    torch.manual_seed(2)
    assert of(CifarCNN) == first == of(partial(CifarCNN, c1=6)) == of(Renamed)
    for off in (nn.Identity(), nn.Dropout(0.0)):
        assert of(partial(Optional, off)) == first
    assert of(partial(Optional, nn.Dropout(0.1))) != first
    assert of(CifarCNN, replace(TUTORIAL, name="other")) == first
    assert fingerprint(cifar_design("x"), TUTORIAL, HALF) == first
    assert torch.initial_seed() == 2  # no random number is used
    explicit = partial(competing, rubbish=10.0)
    assert of(LeNet5, replace(LECUN1998, loss=explicit)) == of(LeNet5, LECUN1998)


SOURCE = '''
import torch

LIMIT = 3


def helper(x):
    return x + LIMIT


def augment(images, random, by=2):
    """Text."""
    result = helper(images) // by  # a comment
    return torch.flip(result, (3,))
'''


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("    # a comment", "  # another comment", True),
        ('"""Text."""', '"""Other text."""', True),
        ("result", "flipped", True),
        ("helper", "other_name", True),
        ("helper(images) // by", "(\n        helper(images)\n        // by\n    )", True),
        (
            "def augment(images, random, by=2)",
            "def augment(images: object, random, by=2) -> int",
            True,
        ),
        ("import torch\n", "import math\nimport torch\n", True),
        ("LIMIT = 3", "LIMIT = 4", False),
        ("x + LIMIT", "x - LIMIT", False),
        ("by=2", "by=3", False),
        ("(3,)", "(2,)", False),
        ("torch.flip(result, (3,))", "torch.flip(torch.flip(result, (3,)), (2,))", False),
    ],
)
def test_a_function_counts_by_what_it_computes(
    tmp_path: Path, old: str, new: str, same: bool
) -> None:
    def printed(source: str, name: str) -> str:
        path = tmp_path / f"{name}.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return of(CifarCNN, replace(TUTORIAL, augment=module.augment))

    assert old in SOURCE.replace("  # a comment", "    # a comment")
    before = printed(SOURCE, "before")
    after = printed(SOURCE.replace("  # a comment", "    # a comment").replace(old, new), "after")
    assert (before == after) == same


def test_recipes_of_the_lab_differ() -> None:
    assert of(LeNet5, REPORT2017) != of(LeNet5, LECUN1998)
