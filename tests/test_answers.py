"""The answers that stand in docstrings are those that stand in the results."""

import re
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from conftest import ROOT

import part1_cifar_tutorial
import part2_lenet5
from common import statistics

RESULTS = ROOT / "results"
SCRIPTS = {part1_cifar_tutorial: "cifar10", part2_lenet5: "mnist"}
LINE = re.compile(
    r"^ *(?P<recipe>\S+) +(?P<design>\S+) +(?P<n>\d+) +(?P<mean>[\d.]+) % +"
    r"(?P<low>[\d.]+) to (?P<high>[\d.]+) +(?P<loss>[\d.]+)$",
    re.MULTILINE,
)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.EXPERIMENT)
def test_a_script_tells_what_was_measured(script: ModuleType) -> None:
    recipes = {recipe.name: recipe for recipe in script.RECIPES}
    every = pd.read_csv(RESULTS / f"{script.EXPERIMENT}.csv", dtype={"design": str})
    told = list(LINE.finditer(script.__doc__))
    expected = {(recipe, design.name) for recipe in recipes for design in script.DESIGNS}
    assert {(line["recipe"], line["design"]) for line in told} == expected
    for line in told:
        recipe = recipes[line["recipe"]]
        runs = every[
            (every["dataset"] == SCRIPTS[script])
            & (every["recipe"] == recipe.name)
            & (every["design"] == line["design"])
            & (every["epochs"] == recipe.epochs)
            & (every["batch_size"] == recipe.batch_size)
            & (every["lr"] == recipe.lr)
            & (every["momentum"] == recipe.momentum)
            & (every["seed"] < int(line["n"]))
        ]
        mean = statistics.mean_interval(100 * statistics.converged(runs)["test_accuracy"])
        assert mean.n == int(line["n"])
        assert line["mean"] == f"{mean.mean:.2f}"
        assert (line["low"], line["high"]) == (f"{mean.low:.2f}", f"{mean.high:.2f}")
        assert line["loss"] == f"{runs['test_loss'].mean():.4f}"
        for column in ("device", "torch"):
            assert set(runs[column]) <= set(re.findall(r"cpu \w+|[\d.]+\+?\w*", script.__doc__))


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*_classes.csv")), ids=lambda path: path.stem)
def test_the_per_class_table_adds_up_to_the_overall_accuracy(path: Path) -> None:
    runs = pd.read_csv(path.with_name(path.name.replace("_classes", "")))
    key = list(runs.columns[: list(runs.columns).index("seed") + 1])
    totals = pd.read_csv(path).groupby(key)[["correct", "total"]].sum()
    accuracy = runs.set_index(key)["test_accuracy"].sort_index()
    assert ((totals["correct"] / totals["total"] - accuracy).abs() < 1e-6).all()
    assert len(totals) == len(runs)
