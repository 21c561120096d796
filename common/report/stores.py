"""The result files of the training scripts, and the run of each of their rows."""

import functools
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pandas as pd

from common import LabError
from common.models.design import Design
from common.models.lenet1998 import LENET5_1998
from common.models.networks import (
    CIFAR_COLUMNS,
    LENET5,
    LENET5_2017,
    LENET5_RELU,
    cifar_design,
    mlp_design,
)
from common.results.store import Results
from common.training import recipes
from common.training.loop import Run
from common.training.recipes import NUMBERS, Recipe

RECIPES = {recipe.name: recipe for recipe in vars(recipes).values() if isinstance(recipe, Recipe)}
MLP_COLUMNS = {"hidden": ""}
# Each experiment that stores runs: columns of the designs' arguments, further tables.
STORES: dict[str, tuple[Mapping[str, str | int], tuple[str, ...]]] = {
    "part1_cifar_tutorial": (CIFAR_COLUMNS, ("confusion", "loss")),
    "part1_explore_featuremaps": (CIFAR_COLUMNS, ()),
    "part1_explore_depth": (CIFAR_COLUMNS, ()),
    "part1_explore_activation": (CIFAR_COLUMNS, ()),
    "part2_mlp": (MLP_COLUMNS, ("variations",)),
    "part2_lenet5": ({}, ("confusion",)),
}


def open_store(folder: Path, name: str) -> Results:
    """The result files of an experiment of STORES; LabError: a file is damaged."""
    return Results(folder, name, *STORES[name])


def run_of(row: Mapping) -> Run:
    """The run of a row of `<experiment>.csv`, as the current code would train it.

    Raises:
        LabError: the current code has no such design or recipe.
    """
    try:
        numbers = {name: row[name] for name in NUMBERS}
        recipe = RECIPES[row["recipe"]]
        if recipe.momentum is None:
            del numbers["momentum"]
        arguments = [(name, row[name]) for name in (*CIFAR_COLUMNS, *MLP_COLUMNS) if name in row]
        design = design_of(row["design"], *arguments)
        return Run(design, replace(recipe, **numbers), row["dataset"], row["seed"])
    except (LookupError, ValueError) as error:
        raise LabError(f"no design {row['design']} or no recipe {row['recipe']}") from error


def known_runs(folder: Path, name: str) -> list[tuple[pd.Series, Run]]:
    """The rows of `<name>.csv`, each with its run.

    Without damaged files, and without rows that the current code cannot train: the check
    `runs_agree` names them.
    """
    known = []
    with suppress(LabError):
        for _, row in open_store(folder, name).select().iterrows():
            with suppress(LabError):
                known.append((row, run_of(row)))
    return known


@functools.cache
def design_of(name: str, *arguments: tuple[str, str | int]) -> Design:
    """A design by its name and arguments, the columns after `design` with their values."""
    columns = dict(arguments)
    if "c1" in columns:
        return cifar_design(name, **columns)
    if "hidden" in columns and name != "lenet5":
        return mlp_design(*map(int, columns["hidden"].split("-")))
    if "hidden" in columns:
        return import_module("part2_convolution").LENET5
    steps = import_module("part2_ablation").networks().values()
    designs = (LENET5, LENET5_RELU, LENET5_2017, LENET5_1998, *steps)
    return {design.name: design for design in designs}[name]
