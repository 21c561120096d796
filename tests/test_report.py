"""REPORT.md agrees with the results; a sentence that contradicts them is refused."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT

from common import LabError, console
from common.report import __main__ as report
from common.report.fill import TEMPLATE, ResultTables, fill, p_in_text, percent
from common.statistics.intervals import mean_interval

RESULTS = ROOT / "results"
TEXT = TEMPLATE.read_text(encoding="utf-8")
REPORT = report.REPORT.read_text(encoding="utf-8")

# The numbers that may be typed in the template: designs and sizes, parts and shares, years;
# published numbers.
NUMBERS = """
5 6 7 9 10 11 12 13 16 28 30 77 84 100 120 256 300 3x3 8x8 28x28 32x32
0 1 2 3 4 60 95 1,000 10,000 100,000
1998 2017 2019 2025
86 21 98 0.05 60,000 70,000
"""


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A copy of the results that a test may edit."""
    for path in RESULTS.glob("*.csv"):
        shutil.copy(path, tmp_path)
    return tmp_path


def edit(path: Path, column: str, value: object, **where: object) -> None:
    """Write `value` in a column of the rows `where`."""
    table = pd.read_csv(path, dtype={"design": str, "fingerprint": str})
    rows = (table[list(where)] == pd.Series(where)).all(axis=1)
    assert rows.any()
    table.loc[rows, column] = value
    table.to_csv(path, index=False)


def test_the_command_writes_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "REPORT.md"
    monkeypatch.setattr(report, "REPORT", path)
    assert report.main([]) == 0
    assert path.read_text(encoding="utf-8") == REPORT


def test_its_first_number_by_hand() -> None:
    runs = pd.read_csv(RESULTS / "part1_cifar_tutorial.csv")
    runs = runs[(runs["recipe"] == "tutorial") & (runs["dataset"] == "cifar10")]
    mean = mean_interval(100 * runs["test_accuracy"])
    correct, images = round(10_000 * runs["test_accuracy"].sum()), 10_000 * len(runs)
    hundredths = (2 * 10_000 * correct + images) // (2 * images)  # a half is rounded up
    text = " ".join(REPORT.split())
    assert f"classifies {hundredths // 100}.{hundredths % 100:02} % of the test images" in text
    assert f"({mean.low:.2f} to {mean.high:.2f} %, n = {len(runs)})" in text


def test_the_report_changes_with_a_number(results: Path) -> None:
    edit(results / "part2_lenet5.csv", "test_accuracy", 0.9, design="lenet5", recipe="modern")
    assert fill(results, TEXT) != REPORT


def test_a_sentence_that_is_not_true_is_refused_with_its_line(results: Path) -> None:
    """The report says that sigmoid learns nothing."""
    path = results / "part1_explore_activation_summary.csv"
    edit(path, "mean", 0.5, design="sigmoid", recipe="tutorial")
    with pytest.raises(LabError, match="is not true any more") as refusal:
        fill(results, TEXT)
    line = int(re.search(r"line (\d+)", str(refusal.value))[1])
    assert 'kinds["mean"]["sigmoid"]' in TEXT.splitlines()[line - 1]


def test_any_error_of_the_template_has_its_line() -> None:
    with pytest.raises(LabError, match=r"line 2: ValueError: math domain error"):
        fill(RESULTS, "first\n{{ 0.0 | first_digit }}\n")


def test_missing_results_are_named(results: Path) -> None:
    (results / "part2_mlp_width.csv").unlink()
    with pytest.raises(LabError, match=r"needs .*part2_mlp_width\.csv: README"):
        fill(results, TEXT)
    edit(results / "part2_lenet5.csv", "recipe", "other", recipe="lecun1998")
    shutil.copy(RESULTS / "part2_mlp_width.csv", results)
    with pytest.raises(LabError, match=r"part2_lenet5\.csv has no row with .*lecun1998"):
        fill(results, TEXT)


def test_networks_of_one_name_are_not_averaged_together(results: Path) -> None:
    """For example, `--c1 12` names its designs by their layers too."""
    path = results / "part1_explore_depth.csv"
    runs = pd.read_csv(path, dtype={"design": str, "fingerprint": str})
    wider = runs[(runs["recipe"] == "tutorial-kaiming") & (runs["c1"] == 6)].assign(c1=12)
    pd.concat([runs, wider]).to_csv(path, index=False)
    assert fill(results, TEXT) == REPORT
    with pytest.raises(LabError, match="several networks of one name"):
        ResultTables(results).rows(path.stem, recipe="tutorial-kaiming", dataset="cifar10")


def test_recipes_of_one_name_are_not_averaged_together(results: Path) -> None:
    path = results / "part2_lenet5.csv"
    edit(path, "epochs", 3, design="lenet5", recipe="modern", seed=0)
    with pytest.raises(LabError, match="several epochs, batch sizes or rates"):
        ResultTables(results).accuracy("part2_lenet5", "modern", "mnist", design="lenet5")


def test_runs_of_an_edited_network_or_recipe_are_refused(results: Path) -> None:
    """The fingerprint of seed 0 differs from that of the other seeds."""
    path = results / "part2_lenet5.csv"
    run = {"dataset": "mnist", "design": "lenet5", "recipe": "modern"}
    edit(path, "fingerprint", "0123abcd", **run, seed=0)
    name = "two networks or recipes named mnist, design lenet5, recipe modern: keep one, "
    with pytest.raises(LabError, match=rf"part2_lenet5\.csv has rows of {name}.*0123abcd"):
        fill(results, TEXT)
    others = ResultTables(results).rows("part2_lenet5", recipe="report2017", dataset="mnist")
    assert others["fingerprint"].nunique() > 1  # of different designs


def test_one_cell_is_of_one_design(results: Path) -> None:
    with pytest.raises(LabError, match="several designs, not one"):
        ResultTables(results).accuracy("part2_lenet5", "modern", "mnist")


def test_no_measured_number_is_typed() -> None:
    """Typed numbers in the template are names, sizes, years, and published numbers."""
    words = re.sub(r"\{[{%#].*?[}%#]\}", "", TEXT, flags=re.DOTALL)
    assert set(re.findall(r"[\d.,x]*\d", words)) <= set(NUMBERS.split())


def test_every_figure_exists_and_headings_and_tables_are_well_formed() -> None:
    figures = re.findall(r"!\[.+?\]\((.+?)\)", REPORT)
    assert len(figures) >= 10
    assert all((ROOT / path).stat().st_size > 5000 for path in figures)
    headings = re.findall(r"^#+ .*", REPORT, re.MULTILINE)
    assert len(headings) == len(set(headings))
    for table in re.finditer(r"(?:^\|.*\n)+", REPORT, re.MULTILINE):
        assert len({line.count("|") for line in table[0].splitlines()}) == 1, table[0]
        assert REPORT[table.end()] == "\n", table[0]  # or the next line would be a row


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0009, "< 0.001"),
        (0.001, "= 0.001"),
        (0.0214, "= 0.021"),
        (1.0, "= 1.000"),
        (float("nan"), "= nan"),  # a test that was not done is no strong result
    ],
)
def test_p_values_are_written_in_one_way(p: float, text: str) -> None:
    assert p_in_text(p) == text
    assert console.p_value(p) == text.removeprefix("= ")


@pytest.mark.parametrize(
    ("correct", "images", "digits", "text"),
    [
        (98315, 100_000, 2, "98.32 %"),  # as a float it is below the half
        (98325, 100_000, 2, "98.33 %"),
        (98324, 100_000, 2, "98.32 %"),
        (1, 1, 2, "100.00 %"),
        (2, 3, 1, "66.7 %"),
        (0, 5, 0, "0 %"),
    ],
)
def test_a_half_is_rounded_up(correct: int, images: int, digits: int, text: str) -> None:
    assert percent(correct / images, digits) == text
