"""The results are from the current code and consistent, and docstrings quote them correctly."""

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
import part2_ablation
import part2_convolution
import part2_lenet5
import part2_mlp
import part2_profile
import part2_published
from common.console import percent
from common.inference import summary, tables
from common.models.design import Design
from common.models.lenet1998 import LENET5_1998
from common.models.networks import (
    LENET5_2017,
    LENET5_RELU,
    cifar_design,
    mlp_design,
)
from common.report.stores import RECIPES, open_store
from common.statistics.intervals import converged
from common.training.loop import Run

RESULTS = ROOT / "results"


def accuracies(store: str, *answers: tuple[str, Design]) -> list[float]:
    """The mean accuracy of designs by recipes, on the standard split."""
    results = open_store(RESULTS, store)
    dataset = "cifar10" if store.startswith("part1") else "mnist"
    runs = [Run(design, RECIPES[recipe], dataset) for recipe, design in answers]
    return [converged(results.select([run]))["test_accuracy"].mean() for run in runs]


def maps(c1: int, c3: int) -> Design:
    return cifar_design(f"{c1}-{c3}", c1=c1, c3=c3)


def depth(layers: int) -> Design:
    return cifar_design(str(layers), layers=layers)


def activation(name: str) -> Design:
    return cifar_design(name, activation=name)


# The percentages of a docstring in their order: accuracies, or errors.
ANSWERS: dict[ModuleType, list] = {
    part1_cifar_tutorial: [("tutorial", cifar_design("baseline"))],
    part1_explore_featuremaps: [
        *(("tutorial", maps(*pair)) for pair in ((12, 28), (6, 16), (12, 16), (6, 28))),
        *(("tuned", maps(*pair)) for pair in ((12, 16), (6, 28), (6, 16))),
    ],
    part1_explore_depth: [
        *(("tutorial", depth(layers)) for layers in (7, 9)),
        *(("tuned", depth(layers)) for layers in (11, 7)),
    ],
    part1_explore_activation: [
        *(("tutorial", activation(name)) for name in ("elu", "relu", "sigmoid")),
        *(("tuned", activation(name)) for name in ("relu", "tanh", "sigmoid")),
    ],
    part2_mlp: [
        *(("modern", mlp_design(width)) for width in (30, 120, 300)),
        ("modern", mlp_design(300, 100)),
        ("modern-distorted", mlp_design(300, 100)),
    ],
}
ERRORS: dict[ModuleType, list] = {
    part2_lenet5: [
        ("report2017", LENET5_2017),
        ("report2017", LENET5_RELU),
        ("modern", LENET5_RELU),
        ("modern-distorted", LENET5_RELU),
        ("lecun1998", LENET5_1998),
        0.0095,
    ],
    part2_ablation: [("lecun1998", LENET5_1998), ("modern", part2_ablation.networks()["ReLU"])],
}


def two_digits(script: ModuleType) -> list[str]:
    """The percentages with two digits in a docstring."""
    return re.findall(r"(\d+\.\d\d)\s%", script.__doc__)


@pytest.mark.parametrize("script", ANSWERS, ids=lambda script: script.__name__)
def test_accuracies_in_a_docstring_agree_with_the_results(script: ModuleType) -> None:
    expected = accuracies(script.__name__, *ANSWERS[script])
    assert two_digits(script) == [percent(value) for value in expected]


@pytest.mark.parametrize("script", ERRORS, ids=lambda script: script.__name__)
def test_errors_in_a_docstring_agree_with_the_results(script: ModuleType) -> None:
    answers = [answer for answer in ERRORS[script] if isinstance(answer, tuple)]
    errors = [1 - value for value in accuracies("part2_lenet5", *answers)]
    errors += [answer for answer in ERRORS[script] if isinstance(answer, float)]
    assert two_digits(script) == [percent(value) for value in errors]


def test_statements_in_the_docstrings_of_part_1_are_true() -> None:
    def seeds(name: str, recipe: str) -> pd.Series:
        results = open_store(RESULTS, "part1_explore_depth")
        run = Run(depth(int(name)), RECIPES[recipe], "cifar10")
        return results.select([run])["test_accuracy"]

    learn = [int((seeds(layers, "tutorial") > 0.15).sum()) for layers in ("11", "13")]
    assert (learn, len(seeds("11", "tutorial"))) == ([4, 0], 10)
    assert "4 of 10 seeds learn, of 13 none" in " ".join(part1_explore_depth.__doc__.split())
    factors = pd.read_csv(RESULTS / "part1_factors.csv").set_index(["recipe", "factor"])
    ranges = factors["range"]["tutorial"]
    assert ranges[["layers", "activation"]].min() > 10 * ranges[["C1 maps", "C3 maps"]].max()
    assert factors["worst"]["tutorial"][["layers", "activation"]].tolist() == ["13", "sigmoid"]
    tuned = factors["range"]["tuned"]
    assert tuned.drop("activation").max() < 0.03
    relu, tanh = accuracies("part1_explore_activation", *ANSWERS[part1_explore_activation][3:5])
    assert relu - tanh < 0.03 and factors["worst"]["tuned"]["activation"] == "sigmoid"


def test_the_docstring_of_the_ablation_agrees_with_the_results() -> None:
    table = pd.read_csv(RESULTS / "part2_ablation.csv").set_index(["design", "recipe"])
    points = 100 * table["difference"]
    said = re.findall(r"(\d\.\d\d) points", part2_ablation.__doc__)
    expected = points["1998-relu", "modern"], -points["1998-softmax", "lecun1998"]
    assert said == [f"{value:.2f}" for value in expected]


def test_the_docstring_of_convolution_agrees_with_the_results() -> None:
    table = pd.read_csv(RESULTS / "part2_convolution.csv", dtype={"design": str})
    sentence = part2_convolution.sentence(part2_convolution.side_by_side(table, "mnist"))
    assert set(table["n"]) == {5}
    assert sentence in " ".join(part2_convolution.__doc__.split())


def test_the_docstring_of_the_profile_agrees_with_the_results() -> None:
    rows = tables.read(RESULTS, "part2_profile")
    (device,) = rows["device"].unique()
    text = " ".join(part2_profile.__doc__.split())
    assert summary.verdict(rows[rows["dataset"] == "mnist"]) in text
    assert device in text and rows["torch"].iloc[0] in text


def test_the_comparison_with_1998_uses_all_saved_runs(tmp_path: Path) -> None:
    for path in RESULTS.glob("part2_*.csv"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "part2_published.csv").unlink()
    folders = ["--results-dir", str(tmp_path), "--figures-dir", str(tmp_path)]
    assert part2_published.main(folders) == 0
    name = "part2_published.csv"
    assert (tmp_path / name).read_bytes() == (RESULTS / name).read_bytes()
    said = re.findall(r"(\d\.\d+) %", part2_published.__doc__)
    assert said == ["1.36", "3.05", "1.03", "0.95", "0.61", "0.8"]
    table = pd.read_csv(RESULTS / name).set_index(["design", "distortions"])
    ours = [1 - table["mean"]["300-100", "no"], *(1 - table["mean"]["lenet5-1998"])]
    assert [percent(value) for value in ours] == ["1.36", "1.03", "0.61"]
