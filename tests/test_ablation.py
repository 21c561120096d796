"""What each change is worth, and the errors of 1998 beside ours."""

from pathlib import Path

import pandas as pd
import pytest
from conftest import Script
from scipy import stats

import part2_lenet5
from common import ablation, cli, published
from common.ablation import Step
from common.models.networks import Design, lenet5, size
from common.results.store import Results
from common.training.loop import Run
from common.training.recipes import MODERN, MODERN_DISTORTED

KEY = ("dataset", "design", "recipe", "epochs", "batch_size", "lr", "momentum")


def chain_of(*argv: str) -> list[Step]:
    parser = cli.parser("", list(part2_lenet5.RECIPES), dataset="mnist")
    options = cli.parse(parser, ["--recipe", "lecun1998", *argv])
    return part2_lenet5.chain(options)


def test_the_chain_leads_from_the_paper_to_lenet5_of_today() -> None:
    chain = chain_of("--epochs", "3")
    counts = [size(step.runs[0].design)[0] for step in chain]
    # Sub-sampling has 44 parameters, the other connections of C3 900, the output layer 850.
    assert counts == [60000, 59956, 59956, 60856, 60856, 60856, 61706, 61706, 61706]
    assert counts[-1] == size(Design("lenet5", lenet5))[0]
    assert [step.runs[0].recipe.name for step in chain] == ["lecun1998"] * 8 + ["modern"]
    assert {run.recipe.epochs for step in chain for run in step.runs} == {3}
    assert len({run.key for step in chain for run in step.runs}) == 9 * 3


def add_rows(accuracies: dict[str, list[float]], recipe: str = "modern") -> pd.DataFrame:
    """Runs of part2_lenet5 with given accuracies, as its CSV has them."""
    key = {"dataset": "mnist", "recipe": recipe, "epochs": 20, "batch_size": 64, "lr": 0.05}
    return pd.DataFrame(
        [
            {**key, "design": name, "momentum": 0.9, "seed": seed, "train_loss": 0.1}
            | {"test_accuracy": value}
            for name, values in accuracies.items()
            for seed, value in enumerate(values)
        ]
    )


def test_each_step_is_compared_with_the_one_before() -> None:
    accuracies = {"a": [0.98, 0.981, 0.983], "b": [0.99, 0.992, 0.993], "c": [0.99, 0.991, 0.994]}
    steps = [
        Step(name, [Run(Design(name, lenet5), MODERN, "mnist", seed=0)]) for name in accuracies
    ]
    steps.insert(1, Step("untrained", [Run(Design("none", lenet5), MODERN, "mnist", seed=0)]))
    table = ablation.tabulate(steps, add_rows(accuracies), KEY, tested=10_000)
    assert list(table["change"]) == ["a", "b", "c"]
    assert table["difference"].isna().tolist() == [True, True, False]  # b's one before is missing
    last = table.iloc[-1]
    welch = stats.ttest_ind(accuracies["c"], accuracies["b"], equal_var=False)
    assert last["difference"] == pytest.approx(0)
    assert last["p"] == pytest.approx(welch.pvalue)

    table = ablation.tabulate([steps[0], *steps[2:]], add_rows(accuracies), KEY, tested=10_000)
    first = stats.ttest_ind(accuracies["b"], accuracies["a"], equal_var=False)
    assert table["p"].iloc[1] == pytest.approx(2 * first.pvalue)  # Holm, of two
    interval = first.confidence_interval(0.975)  # Bonferroni, of two
    assert table["difference_low"].iloc[1] == pytest.approx(interval.low)


def test_an_ablation_from_the_command_line(script: Script, tmp_path: Path) -> None:
    options = ("--synthetic", "--ablation", "--epochs", "1", "--batch-size", "250", "--seeds", "1")
    done = script("part2_lenet5.py", *options)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "my results" / "part2_lenet5_ablation.csv")
    runs = pd.read_csv(tmp_path / "my results" / "part2_lenet5.csv")
    assert len(table) == len(runs) == 9
    chain = table.sort_values("step")["change"]
    changes = [change for change, *_ in part2_lenet5.CHANGES]
    assert list(chain) == ["as published", *changes, "recipe modern"]
    modern = runs.loc[runs["recipe"] == "modern", "test_accuracy"].item()
    assert table.loc[table["change"] == "recipe modern", "mean"].item() == modern
    assert f"recipe modern                       1 {100 * (1 - modern):>5.2f} %" in done.stdout
    told = done.stdout.partition("\nresults:")[0]
    assert max(map(len, told.splitlines())) <= 80
    figures = [path.name for path in (tmp_path / "my figures").iterdir()]
    assert figures == ["part2_lenet5_ablation_lecun1998-epochs1-batchsize250.png"]


@pytest.mark.parametrize("more", [["--designs", "lenet5"], ["--recipe", "modern"]])
def test_an_ablation_has_designs_and_recipes_of_its_own(
    more: list[str], capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ended:
        part2_lenet5.main(["--ablation", "--list", *more])
    assert ended.value.code == 2
    assert "--ablation has designs and recipes of its own" in capsys.readouterr().err


def test_only_runs_of_the_recipes_own_numbers_stand_beside_1998(tmp_path: Path) -> None:
    results = Results(tmp_path, "part2_lenet5")
    rows = add_rows({"lenet5": [0.99, 0.992]})
    others = rows.assign(lr=0.02, test_accuracy=0.5)
    for column in results.frame().columns.difference(rows.columns):
        rows[column] = others[column] = 1
    every = pd.concat([rows, others])[results.frame().columns]
    every.to_csv(results.path(), index=False)
    table = published.tabulate(tmp_path)
    assert list(table["design"]) == ["lenet5"]
    assert (table["mean"].item(), table["n"].item()) == (pytest.approx(0.991), 2)
    assert table["published_error"].item() == 0.0095
    assert published.PUBLISHED[1].recipe == MODERN_DISTORTED
