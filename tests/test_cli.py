"""The options: what they mean, and one clear line for each that is wrong."""

import importlib
import io
import threading
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from conftest import ROOT
from hypothesis import example, given, settings
from hypothesis import strategies as st

import part1_cifar_tutorial
import part2_lenet5
from common import UsageError, cli
from common.experiment import Experiment
from common.models.networks import LENET5, LENET5_2017, LENET5_RELU
from common.settings import Settings
from common.training.device import cores
from common.training.loop import Run
from common.training.recipes import MODERN, REPORT2017, TUTORIAL

SCRIPTS = {path.stem: importlib.import_module(path.stem) for path in sorted(ROOT.glob("part*.py"))}
READING = ("part1_factors", "part2_published")  # train nothing
OTHERS = (*READING, "part2_profile", "part2_own_digits")
TRAINING = [name for name in SCRIPTS if name not in OTHERS]
DESIGNS = [LENET5, LENET5_RELU, LENET5_2017]


def parse(*argv: str) -> tuple[Settings, list[Run]]:
    parser = cli.parser("", "mnist", [REPORT2017, MODERN])
    options = Settings.of(parser.parse_args(argv))
    return options, Experiment("part2_lenet5", options, DESIGNS).runs


def status(script: ModuleType, argv: list[str]) -> int:
    """The exit status of a script."""
    try:
        return script.main(argv)
    except SystemExit as ended:  # of argparse
        return ended.code


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_fits_a_terminal(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert status(SCRIPTS[name], ["--help"]) == 0
    text = capsys.readouterr().out
    assert SCRIPTS[name].__doc__.strip() in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("name", TRAINING)
def test_help_names_every_option(name: str, capsys: pytest.CaptureFixture) -> None:
    assert status(SCRIPTS[name], ["--help"]) == 0
    text = capsys.readouterr().out
    folders = ("--data-dir", "--synthetic", "--results-dir", "--figures-dir")
    for option in (*NAMES, *folders, "--fresh", "--plot-only", "--list", "--evaluate", "--figure"):
        assert f"{option} " in text or f"{option}\n" in text, option


def test_defaults_are_the_labs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_DATA_DIR", raising=False)
    options, runs = parse()
    assert options.data_dir == ROOT / "data"
    assert (options.results_dir, options.figures_dir) == (ROOT / "results", ROOT / "figures")
    assert (options.device, options.jobs) == ("cpu", cores())
    assert (options.label, options.seeds) == ("report2017", None)
    assert {run.dataset for run in runs} == {"mnist"}
    assert len(runs) == 3 * 5
    recipe = options.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.momentum) == (10, 64, 0.01, 0.5)
    assert (TUTORIAL.epochs, TUTORIAL.batch_size, TUTORIAL.lr) == (2, 4, 0.001)
    assert (TUTORIAL.momentum, TUTORIAL.schedule) == (0.9, None)


def test_the_data_folder_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LAB_DATA_DIR", str(tmp_path))
    assert parse()[0].data_dir == tmp_path
    assert parse("--data-dir", "elsewhere")[0].data_dir == Path("elsewhere")
    assert parse("--data-dir", "~/sets")[0].data_dir == Path.home() / "sets"


def test_synthetic_data_never_mixes_with_real_data() -> None:
    options, runs = parse("--synthetic")
    assert options.results_dir == ROOT / "results" / "synthetic"
    assert options.figures_dir == ROOT / "figures" / "synthetic"
    assert {run.dataset for run in runs} == {"synthetic-digits"}


def test_numbers_change_the_recipe_and_the_label() -> None:
    options, runs = parse("--recipe", "modern", "--epochs", "3", "--lr", "0.2", "--seeds", "1")
    assert options.label == "modern-epochs3-lr0.2-seeds1"
    assert tuple(runs[0].key.values()) == ("mnist", "lenet5", "modern", 3, 64, 0.2, 0.9, 0)
    assert parse("--epochs", "10")[0].label == "report2017"  # no change
    options, runs = parse("--split", "75-25")
    assert (options.label, runs[0].dataset) == ("report2017-75-25", "mnist-75-25")


def test_designs_by_name() -> None:
    options, runs = parse("--designs", "lenet5-2017", "lenet5", "--seeds", "2")
    order = ["lenet5 seed 0", "lenet5-2017 seed 0", "lenet5 seed 1", "lenet5-2017 seed 1"]
    assert [str(run) for run in runs] == order
    assert options.label == "report2017-seeds2-lenet5-2017-lenet5"


def test_momentum_is_refused_where_the_optimiser_has_none() -> None:
    adam = replace(MODERN, name="adam", optimizer=torch.optim.Adam, momentum=None)
    parser = cli.parser("", "mnist", [adam])
    assert Settings.of(parser.parse_args([])).recipe.momentum is None
    with pytest.raises(UsageError, match="adam has no momentum"):
        Settings.of(parser.parse_args(["--momentum", "0.9"]))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--cluster", "typo.json"], "--cluster: typo.json is no file of a scheduler"),
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
        (["--designs", "lenet6"], "lenet5 lenet5-relu lenet5-2017"),
        (["--recipe", "quick"], "'report2017', 'modern'"),
        (["--split", "80-20"], "'75-25'"),
        (["--device", "tpu"], "'cuda'"),
        (["--fresh", "--plot-only"], "use one of them"),
        (["--sedes", "3"], "--sedes"),
        (["surplus"], "surplus"),
    ],
)
def test_a_wrong_option_is_one_line_and_status_2(
    argv: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    assert status(part2_lenet5, argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err and "--help lists the options" in captured.err


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
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    for part in ("MNIST", str(tmp_path / "file" / "data"), "--data-dir", "--synthetic"):
        assert part in message


def test_results_that_cannot_be_written_are_one_line_and_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").touch()
    assert part2_lenet5.main(["--synthetic", "--results-dir", str(tmp_path / "file" / "r")]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "Not a directory" in message


def test_nothing_to_plot_is_one_line_and_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert part2_lenet5.main(["--plot-only", "--results-dir", str(tmp_path)]) == 1
    assert "has none of these runs" in capsys.readouterr().err


def test_main_runs_in_a_thread_too(capfd: pytest.CaptureFixture) -> None:
    """Only the main thread may handle signals."""
    statuses = []
    argv = ["--section", "tensors"]
    thread = threading.Thread(target=lambda: statuses.append(part1_cifar_tutorial.main(argv)))
    thread.start()
    thread.join()
    assert statuses == [0]


def test_an_output_without_a_letter_of_a_path_shows_an_escape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = io.BytesIO()
    pipe = io.TextIOWrapper(content, encoding="cp1252", write_through=True)
    monkeypatch.setattr("sys.stderr", pipe)
    assert part2_lenet5.main(["--plot-only", "--results-dir", "/no/результаты"]) == 1
    assert rb"/no/\u0440" in content.getvalue()


VALUES = st.one_of(
    st.sampled_from(
        [
            "0",
            "1",
            "3",
            "-1",
            "1e-3",
            "0.5",
            "nan",
            "inf",
            "x",
            "1e999",
            "--",
            "-h",
            "lenet5",
            "lenet5-2017",
            "modern",
            "report2017",
            "validation",
            "cpu",
            "auto",
        ]
    ),
    st.text(max_size=5),
)
NAMES = (
    "--epochs",
    "--batch-size",
    "--lr",
    "--momentum",
    "--seeds",
    "--jobs",
    "--designs",
    "--recipe",
    "--split",
    "--device",
)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=5), st.booleans())
def test_any_options_make_runs_or_a_usage_error(pairs: list[tuple], synthetic: bool) -> None:
    argv = [word for pair in pairs for word in pair] + ["--synthetic"] * synthetic
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            options, runs = parse(*argv)
    except UsageError:
        return
    except SystemExit as ended:
        assert ended.code == 2 or "-h" in argv
        return
    assert runs
    assert len({tuple(run.key.values()) for run in runs}) == len(runs)
    assert all(run.dataset.startswith("synthetic") == synthetic for run in runs)
    assert options.jobs >= 1


FLAGS = ("--grid", "--all", "--classes", "--fresh")
MORE_NAMES = (*NAMES, "--c1", "--c3", "--layers", "--activation", "--hidden")


@pytest.mark.parametrize("name", TRAINING)
@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.sampled_from(MORE_NAMES), VALUES), max_size=3),
    st.lists(st.sampled_from(FLAGS), max_size=2),
)
@example([("--c1", "\n")], [])
def test_any_options_list_runs_or_are_a_usage_error(
    name: str, pairs: list[tuple], flags: list[str]
) -> None:
    argv = [word for pair in pairs for word in pair] + flags
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        ended = status(SCRIPTS[name], [*argv, "--list", "--synthetic"])
    if ended == 2:
        assert output.getvalue().count("\n") == 1
    else:
        assert ended == 0
        assert " to train" in output.getvalue() or "-h" in argv
