"""Recipes: initialisation, schedule and optimiser."""

import inspect
import math
from dataclasses import replace

import pytest
import torch

from common.data.datasets import Dataset
from common.exploration import RECIPES
from common.models.networks import LENET5, MLP, CifarCNN, cifar_design
from common.training.loop import Run, train
from common.training.recipes import TUTORIAL, Recipe, kaiming, make_optimizer, one_cycle

RECIPE = Recipe("r", epochs=1, batch_size=32, lr=0.01, momentum=None)


def test_kaiming_keeps_the_scale_of_the_signal_and_pytorchs_default_does_not() -> None:
    """He's experiment: the activations of a deep ReLU network with its initial weights."""
    torch.manual_seed(0)
    x = torch.randn(256, 784)
    scales = {}
    for name, initialise in (("kaiming", kaiming), ("pytorch", lambda model: None)):
        model = MLP(*[400] * 8)
        initialise(model)
        scales[name] = model.hidden(x).square().mean().sqrt().item()
    assert 0.5 < scales["kaiming"] < 2
    assert scales["pytorch"] < 0.05


def test_kaiming_by_its_numbers() -> None:
    torch.manual_seed(0)
    model = CifarCNN(c1=12, c3=28)
    kaiming(model)
    assert model.C3.weight.std().item() == pytest.approx(math.sqrt(2 / (12 * 25)), rel=0.03)
    assert model.F5.weight.std().item() == pytest.approx(math.sqrt(2 / 700), rel=0.03)
    assert all(not module.bias.any() for module in (model.C1, model.C3, model.F5, model.F7))


def test_a_recipe_initialises_every_design_and_the_weights_follow_the_seed(
    objects: Dataset,
) -> None:
    still = Recipe("r", 1, 200, 1e-30, 0.0, initialise=kaiming)
    design = cifar_design("baseline")
    one, same, other = (
        train(Run(design, still, "synthetic-objects", seed), objects).weights for seed in (0, 0, 1)
    )
    torch.manual_seed(0)
    expected = CifarCNN()
    kaiming(expected)
    assert torch.equal(one["F5.weight"], expected.F5.weight)
    assert torch.equal(one["F5.weight"], same["F5.weight"])
    assert not torch.equal(one["F5.weight"], other["F5.weight"])


def test_one_cycle_rises_to_the_rate_of_the_recipe_and_falls_to_nothing() -> None:
    recipe = Recipe("r", epochs=5, batch_size=10, lr=0.2, momentum=0.9, schedule=one_cycle)
    optimizer = make_optimizer(recipe, MLP())
    schedule = recipe.schedule(optimizer, recipe.lr, 100)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        assert optimizer.param_groups[0]["momentum"] == 0.9
        optimizer.step()
        schedule.step()
    assert max(rates) == pytest.approx(0.2)
    assert 25 <= rates.index(max(rates)) <= 33
    assert rates[-1] < 1e-4


def test_a_schedule_sets_the_rate_of_every_step(digits: Dataset) -> None:
    """A schedule of 0 does not change the initial weights."""

    def none(optimizer: torch.optim.Optimizer, lr: float, steps: int) -> object:
        assert (lr, steps) == (0.01, 20)
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0)

    recipe = replace(RECIPE, epochs=2, optimizer=torch.optim.SGD, schedule=none)
    weights = train(Run(LENET5, recipe, "synthetic-digits"), digits).weights
    torch.manual_seed(0)
    for name, first in LENET5.build().state_dict().items():
        assert torch.equal(weights[name], first)


def test_adam_is_a_recipe(digits: Dataset) -> None:
    recipe = replace(RECIPE, epochs=8, optimizer=torch.optim.Adam)
    run = Run(LENET5, recipe, "synthetic-digits")
    outcome = train(run, digits)
    assert outcome.epochs[-1].train_loss < 0.7 * outcome.epochs[0].train_loss
    assert run.key["momentum"] == 0.0
    sgd = replace(run, recipe=replace(recipe, optimizer=torch.optim.SGD))
    assert sgd.fingerprint != run.fingerprint
    assert sgd.key == run.key


OPTIMIZERS = {
    name: value
    for name, value in sorted(vars(torch.optim).items())
    if inspect.isclass(value) and issubclass(value, torch.optim.Optimizer) and "Opt" not in name
}
REFUSED = {
    "LBFGS": "LBFGS has no step without a closure",
    "Muon": "Muon only supports 2D parameters",
    "SparseAdam": "SparseAdam does not support dense gradients",
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_trains_or_is_refused_clearly(name: str, digits: Dataset) -> None:
    run = Run(LENET5, replace(RECIPE, optimizer=OPTIMIZERS[name]), "synthetic-digits")
    if name in REFUSED:
        with pytest.raises((ValueError, RuntimeError), match=REFUSED[name]):
            train(run, digits)
    else:
        assert math.isfinite(train(run, digits).epochs[-1].train_loss)


@pytest.mark.parametrize(
    ("optimizer", "changes", "lacks"),
    [
        ("Adam", {"momentum": 0.9}, "Adam has no momentum; change the recipe"),
        ("RMSprop", {"momentum": 0.9, "nesterov": True}, "RMSprop has no nesterov"),
        ("Rprop", {"weight_decay": 0.001}, "Rprop has no weight_decay"),
    ],
)
def test_a_number_that_the_optimiser_lacks_is_refused(
    optimizer: str, changes: dict, lacks: str
) -> None:
    recipe = replace(RECIPE, optimizer=OPTIMIZERS[optimizer], **changes)
    with pytest.raises(ValueError, match=lacks):
        make_optimizer(recipe, MLP(20))


def test_the_numbers_of_a_recipe_reach_the_optimiser() -> None:
    recipe = replace(RECIPE, momentum=0.8, nesterov=True, weight_decay=0.003)
    (group,) = make_optimizer(recipe, MLP(20)).param_groups
    expected = {"lr": 0.01, "momentum": 0.8, "nesterov": True, "weight_decay": 0.003}
    assert {name: group[name] for name in expected} == expected
    rmsprop = replace(recipe, optimizer=torch.optim.RMSprop, nesterov=False)
    (group,) = make_optimizer(rmsprop, MLP(20)).param_groups
    assert (group["momentum"], group["weight_decay"]) == (0.8, 0.003)


def test_the_recipes_of_part_1_differ_in_what_the_lab_says() -> None:
    tutorial, long, begun_well, tuned = RECIPES
    assert tutorial == TUTORIAL
    assert replace(long, name="tutorial", epochs=2) == tutorial
    assert replace(begun_well, name="tutorial", initialise=None) == tutorial
    assert begun_well.initialise is kaiming
    assert (tutorial.schedule, tutorial.augment, tutorial.initialise) == (None, None, None)
    assert tuned.epochs <= 40 and tuned.augment and tuned.initialise
