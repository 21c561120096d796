"""REPORT.md says what the results say, and is refused where they no longer bear it out."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT

from common import LabError
from common import console as terminal
from common.report import __main__ as report
from common.statistics.intervals import mean_interval

RESULTS = ROOT / "results"
TEMPLATE = report.TEMPLATE.read_text(encoding="utf-8")

# What the report's own words may number: designs and sizes, parts and shares, years, and of what
# others published its volume, its builds and its numbers.
GIVEN = """
5 6 7 9 10 11 12 13 16 28 77 100 120 300 3x3 28x28 32x32
0 1 2 3 4 60 30 95 1,000 100,000
1998 2017 2019 2025
86 21 98 0.05 60,000 70,000
10,000 256
"""


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The results, to be changed."""
    for path in RESULTS.glob("*.csv"):
        shutil.copy(path, tmp_path)
    return tmp_path


def change(path: Path, column: str, change_of: object, **where: object) -> None:
    frame = pd.read_csv(path, dtype={"design": str})
    chosen = (frame[list(where)] == pd.Series(where)).all(axis=1)
    assert chosen.any()
    frame.loc[chosen, column] = change_of
    frame.to_csv(path, index=False)


def test_the_report_is_what_the_results_say() -> None:
    assert report.REPORT.read_text(encoding="utf-8") == report.fill(RESULTS, TEMPLATE)
    assert report.main(["--check"]) == 0


def test_its_first_number_by_hand() -> None:
    runs = pd.read_csv(RESULTS / "part1_cifar_tutorial.csv")
    runs = runs[(runs["recipe"] == "tutorial") & (runs["dataset"] == "cifar10")]
    found = mean_interval(100 * runs["test_accuracy"])
    correct, tested = round(10_000 * runs["test_accuracy"].sum()), 10_000 * len(runs)
    hundredths = (2 * 10_000 * correct + tested) // (2 * tested)  # a half is rounded up
    said = " ".join(report.REPORT.read_text(encoding="utf-8").split())
    assert f"classifies {hundredths // 100}.{hundredths % 100:02} % of the test images" in said
    assert f"({found.low:.2f} to {found.high:.2f} %, n = {len(runs)})" in said


def test_a_number_that_changes_is_seen(copied: Path) -> None:
    change(copied / "part2_lenet5.csv", "test_accuracy", 0.9, design="lenet5", recipe="modern")
    assert report.fill(copied, TEMPLATE) != report.REPORT.read_text(encoding="utf-8")


def test_a_sentence_that_no_longer_holds_is_refused_by_its_line(copied: Path) -> None:
    """Sigmoid, which learns nothing, learns."""
    path = copied / "part1_explore_activation_summary.csv"
    change(path, "mean", 0.5, design="sigmoid", recipe="tutorial")
    with pytest.raises(LabError, match="does not hold any more") as refused:
        report.fill(copied, TEMPLATE)
    line = int(re.search(r"line (\d+)", str(refused.value))[1])
    assert 'kinds["mean"]["sigmoid"]' in TEMPLATE.splitlines()[line - 1]


def test_whatever_fails_in_the_template_is_told_with_its_line() -> None:
    with pytest.raises(LabError, match=r"line 2: ValueError: math domain error"):
        report.fill(RESULTS, "first\n{{ 0.0 | small }}\n")


def test_missing_results_are_named(copied: Path) -> None:
    (copied / "part2_mlp_width.csv").unlink()
    with pytest.raises(LabError, match=r"needs .*part2_mlp_width\.csv: README"):
        report.fill(copied, TEMPLATE)
    change(copied / "part2_lenet5.csv", "recipe", "other", recipe="lecun1998")
    shutil.copy(RESULTS / "part2_mlp_width.csv", copied)
    with pytest.raises(LabError, match=r"part2_lenet5\.csv has no row with .*lecun1998"):
        report.fill(copied, TEMPLATE)


def test_networks_of_one_name_are_not_taken_together(copied: Path) -> None:
    """As `--c1 12` names its designs by their layers too."""
    path = copied / "part1_explore_depth.csv"
    runs = pd.read_csv(path, dtype={"design": str})
    wider = runs[(runs["recipe"] == "tutorial-kaiming") & (runs["c1"] == 6)].assign(c1=12)
    pd.concat([runs, wider]).to_csv(path, index=False)
    assert report.fill(copied, TEMPLATE) == report.REPORT.read_text(encoding="utf-8")
    with pytest.raises(LabError, match="several networks of one name"):
        report.rows(copied, "part1_explore_depth", recipe="tutorial-kaiming", dataset="cifar10")


def test_no_measured_number_is_typed() -> None:
    """Of the template's own words, numbers are names, sizes, years, and what others published."""
    words = re.sub(r"\{[{%#].*?[}%#]\}", "", TEMPLATE, flags=re.DOTALL)
    assert set(re.findall(r"[\d.,x]*\d", words)) <= set(GIVEN.split())


def test_every_figure_is_there_and_every_heading_once() -> None:
    text = report.REPORT.read_text(encoding="utf-8")
    figures = re.findall(r"!\[.+?\]\((.+?)\)", text)
    assert len(figures) >= 10
    assert all((ROOT / path).stat().st_size > 5000 for path in figures)
    headings = re.findall(r"^#+ .*", text, re.MULTILINE)
    assert len(headings) == len(set(headings))
    for table in re.finditer(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in table[0].splitlines()}) == 1, table[0]
        assert text[table.end()] == "\n", table[0]  # or the next line would be a row


@pytest.mark.parametrize(
    ("p", "said"),
    [
        (0.0009, "< 0.001"),
        (0.001, "= 0.001"),
        (0.0214, "= 0.021"),
        (1.0, "= 1.000"),
        (float("nan"), "= nan"),  # a test that was not made is no strong result
    ],
)
def test_p_values_are_written_in_one_way(p: float, said: str) -> None:
    assert report.versus(p) == said
    assert terminal.p_value(p) == said.removeprefix("= ")


@pytest.mark.parametrize(
    ("correct", "images", "digits", "said"),
    [
        (98315, 100_000, 2, "98.32 %"),  # as a float it lies below
        (98325, 100_000, 2, "98.33 %"),
        (98324, 100_000, 2, "98.32 %"),
        (1, 1, 2, "100.00 %"),
        (2, 3, 1, "66.7 %"),
        (0, 5, 0, "0 %"),
    ],
)
def test_a_half_is_rounded_up(correct: int, images: int, digits: int, said: str) -> None:
    assert report.percent(correct / images, digits) == said
