"""The options: what they come to, and one clear line for each that is wrong."""

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import part1_cifar_tutorial
import part1_explore_activation
import part1_explore_depth
import part1_explore_featuremaps
import part2_lenet5
import part2_mlp
import part2_profile
from common import cli
from common import experiment as experiments
from common.cli import ROOT
from common.sweep import workers

SCRIPTS = [
    part1_cifar_tutorial,
    part1_explore_featuremaps,
    part1_explore_depth,
    part1_explore_activation,
    part2_mlp,
    part2_lenet5,
]


def parse(*argv: str, script: object = part2_lenet5) -> tuple:
    dataset = "mnist" if script is part2_lenet5 else "cifar10"
    parser = cli.parser("", script.RECIPES, dataset)
    options = cli.parse(parser, argv)
    designs = script.TODAYS if script is part2_lenet5 else script.DESIGNS
    return options, experiments.runs(parser, options, designs)


@pytest.mark.parametrize("script", [*SCRIPTS, part2_profile], ids=lambda script: script.EXPERIMENT)
def test_help_fits_a_terminal(
    script: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        script.main(["--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert "--designs" in said and script.__doc__.strip() in said
    assert max(map(len, said.splitlines())) < 80


def test_defaults_are_the_labs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_DATA_DIR", raising=False)
    options, runs = parse()
    assert options.data_dir == ROOT / "data"
    assert (options.results_dir, options.figures_dir) == (ROOT / "results", ROOT / "figures")
    assert options.device == "cpu"
    assert options.jobs == len(workers.cores())
    assert options.label == "report2017"
    assert {run.dataset for run in runs} == {"mnist"}
    assert len(runs) == 9
    recipe = options.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.momentum) == (10, 64, 0.01, 0.5)

    recipe = parse(script=part1_cifar_tutorial)[0].recipe
    assert (recipe.name, recipe.epochs, recipe.batch_size) == ("tutorial", 2, 4)
    assert (recipe.lr, recipe.momentum, recipe.schedule) == (0.001, 0.9, "constant")


def test_the_data_folder_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LAB_DATA_DIR", str(tmp_path))
    assert parse()[0].data_dir == tmp_path
    assert parse("--data-dir", "elsewhere")[0].data_dir == Path("elsewhere")


def test_synthetic_data_never_mixes_with_real_data() -> None:
    options, runs = parse("--synthetic")
    assert options.results_dir == ROOT / "results" / "synthetic"
    assert options.figures_dir == ROOT / "figures" / "synthetic"
    assert {run.dataset for run in runs} == {"synthetic-digits"}


def test_numbers_change_the_recipe_and_its_label() -> None:
    options, runs = parse("--recipe", "modern", "--epochs", "3", "--lr", "0.2", "--seeds", "1")
    assert options.label == "modern-epochs3-lr0.2"
    assert runs[0].key == (
        *("mnist", "lenet5", "modern", 3, 64, 0.2, 0.9),
        0,
    )
    assert parse("--epochs", "10")[0].label == "report2017"  # no change
    assert parse("--split", "75-25")[0].label == "report2017-75-25"
    assert parse("--split", "75-25")[1][0].dataset == "mnist-75-25"


def test_designs_by_name() -> None:
    _, runs = parse("--designs", "lenet5-2017", "lenet5", "--seeds", "2")
    assert [str(run) for run in runs] == [
        *("lenet5 seed 0", "lenet5-2017 seed 0", "lenet5 seed 1", "lenet5-2017 seed 1")
    ]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--seeds", "0"], "--seeds: 0 is not at least 1"),
        (["--seeds", "-2"], "--seeds"),
        (["--seeds", "many"], "--seeds"),
        (["--epochs", "0"], "--epochs: 0 is not at least 1"),
        (["--epochs", "1.5"], "--epochs"),
        (["--batch-size", "0"], "--batch-size"),
        (["--lr", "0"], "--lr: 0 is not above 0"),
        (["--lr", "nan"], "--lr"),
        (["--lr", "inf"], "--lr"),
        (["--momentum", "1"], "--momentum: 1 is not at least 0 and below 1"),
        (["--momentum", "-0.1"], "--momentum"),
        (["--jobs", "0"], "--jobs"),
        (["--designs", "lenet6"], "lenet5, lenet5-relu, lenet5-2017"),
        (["--recipe", "best"], "'report2017', 'modern'"),
        (["--split", "80-20"], "'75-25'"),
        (["--device", "tpu"], "'cuda'"),
        (["--sedes", "3"], "--sedes"),
        (["surplus"], "surplus"),
    ],
)
def test_a_wrong_option_is_one_line_and_status_2(
    argv: list[str], said: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ended:
        part2_lenet5.main(argv)
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert said in captured.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="it is there")
def test_a_device_that_is_not_there(capsys: pytest.CaptureFixture) -> None:
    assert part2_lenet5.main(["--device", "cuda"]) == 1
    assert capsys.readouterr().err.startswith("error: no cuda device")
    assert parse("--device", "auto")[0].device in ("cpu", "mps")
    assert parse("--device", "cuda", "--plot-only")[0].device == "cuda"  # drawing needs none


def test_data_that_is_not_there_is_one_line_and_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").touch()
    folders = ["--results-dir", str(tmp_path), "--data-dir", str(tmp_path / "file" / "data")]
    assert part2_lenet5.main(folders) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for part in ("MNIST is not in", str(tmp_path / "file" / "data"), "--data-dir", "--synthetic"):
        assert part in said


def test_results_that_cannot_be_written_are_one_line_and_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").touch()
    assert part2_lenet5.main(["--synthetic", "--results-dir", str(tmp_path / "file" / "r")]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Not a directory" in said


def test_nothing_to_plot_is_one_line_and_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert part2_lenet5.main(["--plot-only", "--results-dir", str(tmp_path)]) == 1
    assert "holds none of these runs" in capsys.readouterr().err


VALUES = st.one_of(
    st.sampled_from(
        [
            *("0", "1", "3", "-1", "1e-3", "0.5", "nan", "inf", "", "x", "1e999", "--", "-h "),
            *("lenet5", "lenet5-2017", "modern", "report2017", "validation", "cpu", "auto"),
        ]
    ),
    st.text(max_size=5),
)
NAMES = (
    *("--epochs", "--batch-size", "--lr", "--momentum", "--seeds", "--jobs"),
    *("--designs", "--recipe", "--split", "--device"),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=5), st.booleans())
def test_any_options_make_runs_or_a_usage_error(pairs: list[tuple], synthetic: bool) -> None:
    argv = [word for pair in pairs for word in pair] + ["--synthetic"] * synthetic
    try:
        options, runs = parse(*argv)
    except SystemExit as ended:
        assert ended.code == 2
        return
    assert runs
    assert len({run.key for run in runs}) == len(runs)
    assert all(run.dataset.startswith("synthetic") == synthetic for run in runs)
    assert options.jobs >= 1


FLAGS = ("--grid", "--all", "--ablation", "--against-lenet5", "--classes", "--fresh")
MORE_NAMES = (*NAMES, "--c1", "--c3", "--layers", "--activation", "--hidden")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.EXPERIMENT)
@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(MORE_NAMES), VALUES), max_size=3),
    st.lists(st.sampled_from(FLAGS), max_size=2),
)
@example([("--c1", "\n")], [])
def test_any_options_list_runs_or_are_a_usage_error(
    script: object, pairs: list[tuple], flags: list[str]
) -> None:
    argv = [word for pair in pairs for word in pair] + flags
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        try:
            assert script.main([*argv, "--list", "--synthetic"]) == 0
        except SystemExit as ended:
            assert ended.code == 2
            assert said.getvalue().count("\n") == 1
            return
    assert " to train" in said.getvalue()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.EXPERIMENT)
def test_help_names_every_option(script: object, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        script.main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for option in (
        *NAMES,
        *("--data-dir", "--synthetic", "--results-dir", "--figures-dir", "--classes", "--fresh"),
        *("--plot-only", "--list"),
    ):
        assert f"{option} " in said or f"{option}\n" in said, option
