"""The figures: what stands on their axes, and that files are whole."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from common.plots import accuracy as plotting
from common.plots import curves

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


def words(figure: Figure) -> str:
    """All that is written on a figure."""
    return " ".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))


@pytest.mark.parametrize(
    ("figure", "labels", "n"),
    [
        (curves.learning_curves(EPOCHS), ["epoch", "cross-entropy, nats", "accuracy (%)"], 3),
        (plotting.accuracy_by_design(RUNS), ["design", "test accuracy (%)", "95 % interval"], 3),
        (plotting.accuracy_by_class(CLASSES), ["class", "test accuracy (%)", "all classes"], 3),
        (plotting.confusion_matrices(CONFUSION), ["true class", "predicted class"], 3),
        (curves.loss_curve(LOSS), ["batches of 64 images", "training loss"], 2),
    ],
)
def test_a_figure_names_axes_units_data_recipe_and_n(
    figure: Figure, labels: list[str], n: int
) -> None:
    said = words(figure)
    for part in [
        *labels,
        f"mnist, modern: 3 epochs, batch 64, lr 0.05, momentum 0.9; n = {n} seeds",
    ]:
        assert part in said


def test_curves_show_every_seed_and_their_mean() -> None:
    loss, accuracy = curves.learning_curves(EPOCHS, loss_line=(0.05, "reported")).axes
    lines = {line.get_label(): line.get_ydata() for line in accuracy.get_lines()}
    assert len(accuracy.get_lines()) == 2 * (3 + 1)
    np.testing.assert_allclose(lines["lenet5"], [25, 50, 75])
    means = [line.get_ydata() for line in loss.get_lines() if line.get_linewidth() == 2]
    np.testing.assert_allclose(
        means[0],
        [(1 / 2 + 1 / 3 + 1 / 4) / 3, (1 / 3 + 1 / 4 + 1 / 5) / 3, (1 / 4 + 1 / 5 + 1 / 6) / 3],
    )
    assert any(np.allclose(line.get_ydata(), 0.05) for line in loss.get_lines())


def test_every_seed_is_a_dot_and_a_diverged_run_is_left_out() -> None:
    runs = RUNS.copy()
    runs.loc[0, "train_loss"] = np.nan
    (axes,) = plotting.accuracy_by_design(runs).axes
    dots = [line for line in axes.get_lines() if line.get_marker() == "o"]
    assert [sorted(line.get_ydata()) for line in dots] == [[91, 92], [90, 91, 92]]
    assert [len(set(line.get_xdata())) for line in dots] == [2, 3]  # equal ones beside one another
    (lost,) = [line for line in axes.get_lines() if line.get_marker() == "x"]
    assert list(lost.get_xdata()) == [0]
    assert "diverged" in words(axes.figure)
    runs["train_loss"] = runs["train_loss"].where(runs["design"] == "lenet5")
    (axes,) = plotting.accuracy_by_design(runs).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["lenet5", "lenet5-2017"]


def test_a_figure_says_what_its_designs_have_in_common() -> None:
    runs = RUNS.assign(c1=12, c3=28, activation="relu", layers=[7, 7, 7, 9, 9, 9])
    assert "mnist (c1 12, c3 28, activation relu), modern: 3" in words(
        plotting.accuracy_by_design(runs)
    )
    assert "mnist, modern: 3 epochs" in words(plotting.accuracy_by_design(RUNS))


def test_confusion_keeps_the_order_of_the_classes_and_shows_mean_counts() -> None:
    (axes,) = plotting.confusion_matrices(CONFUSION).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["ship", "cat"]
    assert [text.get_text() for text in axes.texts] == ["90", "11", "11", "90"]


def test_images_stand_under_their_captions() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), dtype=np.uint8)
    figure = plotting.image_grid(images, ["a", "b", "c!", "d", "e"], 3, "Title", "data: seed 0")
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "c", "d", "e", ""]
    assert "data: seed 0" in words(figure)
    shown = figure.axes[1].get_images()[0].get_array()
    assert (shown == images[1].transpose(1, 2, 0)).all()


def test_a_saved_figure_is_whole_and_the_same_each_time(tmp_path: Path) -> None:
    paths = [tmp_path / "new folder" / name for name in ("a.png", "b.png")]
    for path in paths:
        assert plotting.save(curves.learning_curves(EPOCHS), path) == path
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert first.startswith(b"\x89PNG") and b"IEND" in first[-12:]
    assert sorted(path.name for path in paths[0].parent.iterdir()) == ["a.png", "b.png"]
