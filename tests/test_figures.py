"""The figures: labels, lines, captions, and files."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from matplotlib.figure import Figure

from common.plots import accuracy, curves, factors, images, style

KEY = {
    **{"dataset": "mnist", "recipe": "modern", "epochs": 3, "batch_size": 64, "lr": 0.05},
    "momentum": 0.9,
}


def frame(rows: list[dict]) -> pd.DataFrame:
    return pd.DataFrame([{**KEY, **row} for row in rows])


RUNS = frame(
    [
        {"design": design, "seed": seed, "train_loss": 0.1, "test_accuracy": 0.9 + seed / 100}
        for design in ("lenet5", "lenet5-2017")
        for seed in range(3)
    ]
)
EPOCHS = frame(
    [
        {"design": d, "seed": s, "epoch": e, "test_loss": 1 / (e + s + 1), "test_accuracy": e / 4}
        for d in ("lenet5", "lenet5-2017")
        for s in range(3)
        for e in (1, 2, 3)
    ]
)
CLASSES = frame(
    [
        {"design": "a", "seed": s, "class": c, "correct": 50 + s, "total": 100}
        | {"accuracy": (50 + s) / 100}
        for s in range(3)
        for c in ("cat", "ship")
    ]
)
CONFUSION = frame(
    [
        {"design": "a", "seed": s, "class": c, "predicted": p, "count": 90 if c == p else 10 + s}
        for s in range(3)
        for c in ("ship", "cat")
        for p in ("ship", "cat")
    ]
)
LOSS = frame(
    [
        {"design": "a", "seed": s, "step": t, "train_loss": 2 - t / 1000}
        for s in (0, 1)
        for t in (500, 1000)
    ]
)


def text_of(figure: Figure) -> str:
    """All text in a figure."""
    return " ".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))


@pytest.mark.parametrize(
    ("figure", "labels", "n"),
    [
        (curves.learning_curves(EPOCHS), ["epoch", "cross-entropy, nats", "accuracy (%)"], 3),
        (accuracy.accuracy_by_design(RUNS), ["design", "test accuracy (%)", "95 % interval"], 3),
        (accuracy.accuracy_by_class(CLASSES), ["class", "test accuracy (%)", "all classes"], 3),
        (accuracy.confusion_matrices(CONFUSION), ["true class", "predicted class"], 3),
        (curves.loss_curve(LOSS), ["batches of 64 images", "training loss"], 2),
    ],
)
def test_a_figure_names_axes_units_data_recipe_and_n(
    figure: Figure, labels: list[str], n: int
) -> None:
    text = text_of(figure)
    caption = f"mnist, modern: 3 epochs, batch 64, lr 0.05, momentum 0.9; n = {n} seeds"
    assert all(part in text for part in (*labels, caption))


def test_curves_show_every_seed_and_their_mean() -> None:
    loss, percent = curves.learning_curves(EPOCHS, loss_line=(0.05, "reported")).axes
    lines = {line.get_label(): line.get_ydata() for line in percent.get_lines()}
    assert len(percent.get_lines()) == 2 * (3 + 1)
    np.testing.assert_allclose(lines["lenet5"], [25, 50, 75])
    means = [line.get_ydata() for line in loss.get_lines() if line.get_linewidth() == 2]
    np.testing.assert_allclose(
        means[0],
        [(1 / 2 + 1 / 3 + 1 / 4) / 3, (1 / 3 + 1 / 4 + 1 / 5) / 3, (1 / 4 + 1 / 5 + 1 / 6) / 3],
    )
    assert any(np.allclose(line.get_ydata(), 0.05) for line in loss.get_lines())


def test_every_seed_is_a_dot_except_a_diverged_run() -> None:
    runs = RUNS.copy()
    runs.loc[0, "train_loss"] = np.nan
    (axes,) = accuracy.accuracy_by_design(runs).axes
    dots = [line for line in axes.get_lines() if line.get_marker() == "o"]
    assert [sorted(line.get_ydata()) for line in dots] == [[91, 92], [90, 91, 92]]
    assert [len(set(line.get_xdata())) for line in dots] == [2, 3]  # equal ones do not overlap
    (crosses,) = [line for line in axes.get_lines() if line.get_marker() == "x"]
    assert list(crosses.get_xdata()) == [0]
    assert "diverged" in text_of(axes.figure)
    runs["train_loss"] = runs["train_loss"].where(runs["design"] == "lenet5")
    (axes,) = accuracy.accuracy_by_design(runs).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["lenet5", "lenet5-2017"]


@pytest.mark.parametrize(
    ("arguments", "shared"),
    [
        ({}, ""),
        (
            {"c1": 12, "c3": 28, "layers": [7, 7, 7, 9, 9, 9], "activation": "relu"},
            " (c1 12, c3 28, activation relu)",
        ),
        ({"c1": 12, "layers": 7}, " (c1 12, layers 7)"),
        ({"hidden": "300"}, ""),  # the name of the design
    ],
)
def test_a_caption_has_the_common_arguments_of_all_designs(arguments: dict, shared: str) -> None:
    key = [
        "dataset",
        "design",
        *arguments,
        "recipe",
        "epochs",
        "batch_size",
        "lr",
        "momentum",
        "seed",
    ]
    runs = RUNS.assign(**arguments, parameters=62_006)[[*key, "parameters"]]
    assert style.caption(runs).startswith(f"mnist{shared}, modern: 3 epochs")


def test_confusion_keeps_the_order_of_the_classes_and_shows_mean_counts() -> None:
    (axes,) = accuracy.confusion_matrices(CONFUSION).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["ship", "cat"]
    assert [text.get_text() for text in axes.texts] == ["90", "11", "11", "90"]


def test_images_are_below_their_captions() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), dtype=np.uint8)
    figure = images.image_grid(pixels, ["a", "b", "c!", "d", "e"], 3, "Title", "data: seed 0")
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "c", "d", "e", ""]
    assert "data: seed 0" in text_of(figure)
    shown = figure.axes[1].get_images()[0].get_array()
    assert (shown == pixels[1].transpose(1, 2, 0)).all()


def test_each_panel_shows_training_and_test_loss_of_one_design() -> None:
    epochs = EPOCHS.assign(train_loss=EPOCHS["test_loss"] / 2)
    figure = curves.training_and_test_curves(epochs, augmented=True)
    assert [axes.get_title() for axes in figure.axes] == ["lenet5", "lenet5-2017"]
    assert "dashed, of varied images" in text_of(figure)
    assert "varied" not in text_of(curves.training_and_test_curves(epochs))
    training, test = [line for line in figure.axes[0].get_lines() if line.get_marker() == "."]
    assert (training.get_linestyle(), test.get_linestyle()) == ("--", "-")
    np.testing.assert_allclose(2 * training.get_ydata(), test.get_ydata())


def test_signal_and_gradient_are_geometric_means_in_the_order_of_the_layers() -> None:
    layers = frame(
        [
            {"design": d, "seed": s, "layer": layer, "signal": 10.0 ** (s + i), "gradient": 1.0}
            for d in ("7", "9")
            for s in (0, 2)
            for i, layer in enumerate(("C1", "F6", "C3"))
        ]
    )
    figure = curves.signal_and_gradient(layers, ["9", "7", "13"])
    signal, gradient = figure.axes
    means = {line.get_label(): line for line in signal.get_lines() if line.get_marker() == "."}
    assert list(means) == ["9", "7"]
    np.testing.assert_allclose(means["9"].get_ydata(), [10, 100, 1000])
    assert "gradient" in gradient.get_ylabel()
    assert "n = 2 seeds" in text_of(figure)


GRID = frame(
    [
        {"design": f"{c1}-{c3}", "c1": c1, "c3": c3, "seed": s, "train_loss": 1.0}
        | {"test_accuracy": c1 / 100 + c3 / 1000 + s / 100, "parameters": c1, "macs": c3}
        for c1 in (6, 8)
        for c3 in (16, 20)
        for s in (0, 1)
    ]
)


def test_a_heat_map_has_the_mean_and_the_deviation_of_every_cell() -> None:
    axes = factors.heat_map(GRID, {"c1": "maps of C1", "c3": "maps of C3"}).axes[0]
    cells = [text.get_text().split("\n") for text in axes.texts]
    assert cells == [["8.1", "0.7"], ["8.5", "0.7"], ["10.1", "0.7"], ["10.5", "0.7"]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["16", "20"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("maps of C3", "maps of C1")


def test_accuracy_by_size_has_a_line_per_level_of_the_first_factor() -> None:
    figure = factors.accuracy_by_size(GRID, ["c1", "c3"])
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["c1 6, c3 16, 20", "c1 8, c3 16, 20"]
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "parameters",
        "multiply-accumulates of an image",
    ]
    one = factors.accuracy_by_size(GRID[GRID["c3"] == 16], ["c1"])
    assert [text.get_text() for text in one.axes[0].texts] == ["6-16", "8-16"]


def test_a_saved_figure_is_whole_and_the_same_each_time(tmp_path: Path) -> None:
    paths = [tmp_path / "new folder" / name for name in ("a.png", "b.png")]
    for path in paths:
        assert style.save(curves.learning_curves(EPOCHS), path) == path
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert first.startswith(b"\x89PNG") and b"IEND" in first[-12:]
    assert sorted(path.name for path in paths[0].parent.iterdir()) == ["a.png", "b.png"]


def test_a_users_matplotlibrc_changes_no_figure(tmp_path: Path) -> None:
    LOSS.to_csv(tmp_path / "loss.csv", index=False)
    settings = ["text.usetex: True", "axes.facecolor: red", "lines.linestyle: :", "font.size: 30"]
    settings += ["savefig.bbox: tight", "figure.constrained_layout.w_pad: 1", "axes.grid: True"]
    (tmp_path / "matplotlibrc").write_text("\n".join(settings))
    code = (
        "import sys, pandas, matplotlib; from pathlib import Path;"
        "assert matplotlib.rcParams['text.usetex'];"
        "from common.plots import curves, style;"
        "style.save(curves.loss_curve(pandas.read_csv(sys.argv[1])), Path(sys.argv[2]))"
    )
    paths = [str(tmp_path / name) for name in ("loss.csv", "user.png")]
    environment = os.environ | {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc")}
    subprocess.run([sys.executable, "-c", code, *paths], cwd=ROOT, env=environment, check=True)
    expected = style.save(curves.loss_curve(LOSS), tmp_path / "default.png")
    assert (tmp_path / "user.png").read_bytes() == expected.read_bytes()
