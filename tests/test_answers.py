"""The answers that stand in docstrings are those that stand in the results."""

import re
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from conftest import ROOT

import part1_cifar_tutorial
import part1_explore_activation
import part1_explore_depth
import part1_explore_featuremaps
import part2_lenet5
import part2_mlp
import part2_profile
from common import console as terminal
from common import convolution, exploration, factors, published
from common.inference import tables as inference_tables
from common.models import networks as models
from common.models.networks import cifar_design
from common.statistics import intervals as statistics

BASELINE = cifar_design("baseline")
RESULTS = ROOT / "results"
SCRIPTS = {
    part1_cifar_tutorial: "cifar10",
    part1_explore_featuremaps: "cifar10",
    part1_explore_depth: "cifar10",
    part1_explore_activation: "cifar10",
    part2_mlp: "mnist",
    part2_lenet5: "mnist",
}
LINE = re.compile(
    r"^ *(?P<recipe>\S+) +(?P<design>\S+) +(?P<n>\d+) +(?P<mean>[\d.]+) % +"
    r"(?P<low>[\d.]+) to (?P<high>[\d.]+) +(?P<loss>[\d.]+)$",
    re.MULTILINE,
)


def of_design(runs: pd.DataFrame, experiment: str, name: str) -> pd.Series:
    """Which runs are of the design called `name`; of Part 1 also C1-C3-layers-activation."""
    cells = dict(zip(models.CIFAR_COLUMNS, name.split("-"), strict=False))
    if experiment.startswith("part1_explore") and len(cells) == 4:
        return (runs[list(cells)].astype(str) == pd.Series(cells)).all(axis=1)
    varied = {f.column for f in factors.FACTORS.values() if f.experiment == experiment}
    at_baseline = [column for column in BASELINE.columns if column not in varied]
    same = runs["design"] == name
    for column in at_baseline:
        same &= runs.get(column, BASELINE.columns[column]) == BASELINE.columns[column]
    return same


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.EXPERIMENT)
def test_a_script_tells_what_was_measured(script: ModuleType) -> None:
    known = getattr(script, "RECIPES", exploration.RECIPES)
    recipes = {recipe.name: recipe for recipe in known}
    every = pd.read_csv(RESULTS / f"{script.EXPERIMENT}.csv", dtype={"design": str})
    told = list(LINE.finditer(script.__doc__))
    assert len(told) >= 3 or script is part1_cifar_tutorial
    for line in told:
        recipe = recipes[line["recipe"]]
        runs = every[
            (every["dataset"] == SCRIPTS[script])
            & (every["recipe"] == recipe.name)
            & of_design(every, script.EXPERIMENT, line["design"])
            & (every["epochs"] == recipe.epochs)
            & (every["batch_size"] == recipe.batch_size)
            & (every["lr"] == recipe.lr)
            & (every["momentum"] == recipe.momentum)
            & (every["seed"] < int(line["n"]))
        ]
        mean = statistics.mean_interval(statistics.converged(runs)["test_accuracy"])
        assert mean.n == int(line["n"])
        for column in ("mean", "low", "high"):
            assert line[column] == terminal.percent(getattr(mean, column))
        assert line["loss"] == f"{runs['test_loss'].mean():.4f}"
        for column in ("device", "torch"):
            assert set(runs[column]) <= set(re.findall(r"cpu \w+|[\d.]+\+?\w*", script.__doc__))


def test_what_convolution_buys_is_told_as_it_was_measured() -> None:
    table = pd.read_csv(RESULTS / "part2_mlp_against.csv", dtype={"design": str})
    said = convolution.sentence(convolution.side_by_side(table, "mnist"))
    assert set(table["n"]) == {5}
    assert said in " ".join(part2_mlp.__doc__.split())


def test_what_inference_costs_is_told_as_it_was_measured() -> None:
    rows = inference_tables.read(RESULTS, "part2_profile", "")
    (place,) = rows["device"].unique()
    told = " ".join(part2_profile.__doc__.split())
    assert part2_profile.verdict(rows[rows["dataset"] == "mnist"]) in told
    assert place in told and rows["torch"].iloc[0] in told


def test_the_table_beside_1998_is_of_all_runs_there_are() -> None:
    kept = pd.read_csv(RESULTS / "part2_published.csv", dtype={"design": str})
    found = published.tabulate(RESULTS)
    key = list(published.Published._fields)
    both = kept.merge(found, on=key, suffixes=("", "_now"))
    assert len(both) == len(kept) == len(found)
    for column in ("n", "mean", "low", "high"):
        assert list(both[column]) == pytest.approx(list(both[f"{column}_now"]), abs=1e-6)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*_classes.csv")), ids=lambda path: path.stem)
def test_the_per_class_table_adds_up_to_the_overall_accuracy(path: Path) -> None:
    runs = pd.read_csv(path.with_name(path.name.replace("_classes", "")))
    key = list(runs.columns[: list(runs.columns).index("seed") + 1])
    totals = pd.read_csv(path).groupby(key)[["correct", "total"]].sum()
    accuracy = runs.set_index(key)["test_accuracy"].sort_index()
    assert ((totals["correct"] / totals["total"] - accuracy).abs() < 1e-6).all()
    assert len(totals) == len(runs)
