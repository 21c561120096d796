"""From the network of 1998 to today's: the steps, and what each change is worth."""

from pathlib import Path

import pandas as pd
import pytest
from conftest import add_run
from scipy import stats

import part2_ablation
from common.models.design import Design, totals
from common.models.networks import LENET5, LeNet5
from common.results.store import Results
from common.training.loop import Run
from common.training.recipes import LECUN1998, MODERN

STEPS = ["as published", *(change for change, *_ in part2_ablation.CHANGES), "recipe modern"]


def folders(folder: Path) -> list[str]:
    return ["--results-dir", str(folder), "--figures-dir", str(folder / "figures")]


def test_the_networks_lead_from_the_paper_to_lenet5_of_today() -> None:
    networks = part2_ablation.networks()
    assert list(networks) == STEPS[:-1]
    counts = [totals(design)[0] for design in networks.values()]
    # Sub-sampling has 44 parameters, the other connections of C3 900, the output layer 850.
    assert counts == [60000, 59956, 59956, 60856, 60856, 60856, 61706, 61706]
    assert counts[-1] == totals(LENET5)[0]


def test_the_last_step_is_another_recipe_and_options_change_both(
    tmp_path: Path, cluster: str, capsys: pytest.CaptureFixture
) -> None:
    argv = ["--synthetic", "--epochs", "1", "--batch-size", "500", "--designs", "1998-relu"]
    argv += ["--seeds", "1", "--cluster", cluster]
    assert part2_ablation.main([*argv, *folders(tmp_path)]) == 0
    runs = pd.read_csv(tmp_path / "part2_lenet5.csv").sort_values("recipe")
    assert runs["recipe"].tolist() == ["lecun1998", "modern"]
    assert runs["design"].unique().tolist() == ["1998-relu"]
    assert runs["lr"].tolist() == [LECUN1998.lr, MODERN.lr]
    assert set(runs["epochs"]) == {1} and set(runs["batch_size"]) == {500}
    assert runs["fingerprint"].nunique() == 2
    summary = capsys.readouterr().out.split("train s\n")[1].splitlines()[:2]
    accuracies = [f"{100 * accuracy:.2f}" for accuracy in runs["test_accuracy"]]
    assert [line.split()[:3] for line in summary] == [["1998-relu", "1", a] for a in accuracies]
    assert not (tmp_path / "part2_ablation.csv").exists()  # of one seed


def runs_of(accuracies: dict[str, list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"design": name, "recipe": "modern", "seed": seed, "test_accuracy": value}
            for name, values in accuracies.items()
            for seed, value in enumerate(values)
        ]
    )


def test_each_step_is_compared_with_the_one_before() -> None:
    accuracies = {"a": [0.98, 0.981, 0.983], "b": [0.99, 0.992, 0.993], "c": [0.99, 0.991, 0.994]}
    steps = {name: Run(Design(name, LeNet5), MODERN, "mnist") for name in accuracies}
    untrained = Run(Design("none", LeNet5), MODERN, "mnist")
    with_gap = {"a": steps["a"], "untrained": untrained, "b": steps["b"], "c": steps["c"]}
    table = part2_ablation.step_table(with_gap, runs_of(accuracies), images=10_000)
    assert list(table["change"]) == ["a", "b", "c"]
    assert list(table["step"]) == [0, 2, 3]
    assert table["difference"].isna().tolist() == [True, True, False]  # no step before b
    last = table.iloc[-1]
    welch = stats.ttest_ind(accuracies["c"], accuracies["b"], equal_var=False)
    assert last["difference"] == pytest.approx(0)
    assert last["p"] == pytest.approx(welch.pvalue)

    table = part2_ablation.step_table(steps, runs_of(accuracies), images=10_000)
    first = stats.ttest_ind(accuracies["b"], accuracies["a"], equal_var=False)
    assert table["p"].iloc[1] == pytest.approx(2 * first.pvalue)  # Holm, of two
    interval = first.confidence_interval(0.975)  # Bonferroni, of two
    assert table["difference_low"].iloc[1] == pytest.approx(interval.low)


def add(folder: Path, spread: float) -> list[float]:
    """Runs of all steps on MNIST, with two seeds; returns their means."""
    results = Results(folder, "part2_lenet5", extras=("confusion",))
    designs = list(part2_ablation.networks().values())
    pairs = [(design, LECUN1998) for design in designs] + [(designs[-1], MODERN)]
    means = [0.5 + number / 20 for number in range(len(pairs))]
    for (design, recipe), mean in zip(pairs, means, strict=True):
        for seed, accuracy in enumerate((mean - spread, mean + spread)):
            add_run(results, Run(design, recipe, "mnist", seed), accuracy)
    return means


def test_the_table_has_a_row_per_step(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    means = add(tmp_path, spread=0.001)
    argv = ["--plot-only", *folders(tmp_path)]
    assert part2_ablation.main([*argv, "--classes"]) == 0
    output = capsys.readouterr().out
    table = pd.read_csv(tmp_path / "part2_ablation.csv").sort_values("step")
    assert list(table["change"]) == STEPS
    assert table["mean"].tolist() == pytest.approx(means)
    assert table["recipe"].tolist() == ["lecun1998"] * 8 + ["modern"]
    assert "recipe modern                       2 10.00 %   -5.00" in output
    assert output.count("\n1998-relu, by class") == 2  # both recipes
    assert max(map(len, output.partition("\nresults:")[0].splitlines())) <= 80
    figures = [path.name for path in (tmp_path / "figures").iterdir()]
    assert figures == ["part2_ablation_errors_lecun1998.png"]

    before = (tmp_path / "part2_ablation.csv").read_bytes()
    assert part2_ablation.main([*argv, "--seeds", "1"]) == 0
    assert (tmp_path / "part2_ablation.csv").read_bytes() == before
    assert (tmp_path / "figures" / "part2_ablation_errors_lecun1998-seeds1.png").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--designs", "lenet5"], "there are lenet5-1998 1998-average "),
        (["--recipe", "modern"], "choose from 'lecun1998'"),
    ],
)
def test_an_ablation_has_designs_and_recipes_of_its_own(
    more: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    try:
        status = part2_ablation.main(["--list", *more])
    except SystemExit as ended:  # of argparse
        status = ended.code
    assert status == 2
    assert message in capsys.readouterr().err
