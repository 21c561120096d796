"""One's own digits: photographs and scans are read, or refused in one line."""

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from PIL import Image, ImageDraw
from scipy import ndimage

import part2_own_digits
from common.console import percent
from common.data import datasets, synthetic
from common.data.datasets import Dataset, Examples
from common.digits.find import find
from common.digits.pages import Page, compose
from common.digits.prepare import prepare
from common.digits.samples import of_scikit_learn, overlaps
from common.models.networks import LENET5_RELU
from common.results.outcome import save_weights
from common.results.store import Results
from common.training.loop import Run, train
from common.training.recipes import MODERN, MODERN_ELASTIC


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with the default network, after a short training on built-in digits."""
    folder = tmp_path_factory.mktemp("own")
    train_part, test = (Examples(*part) for part in synthetic.digits(train=4000, test=200))
    data = Dataset("mnist", datasets.DIGITS, datasets.MNIST_NORMALISATION, train_part, test)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    outcome = train(Run(LENET5_RELU, replace(MODERN, epochs=2), "mnist"), data)
    torch.set_num_threads(threads)
    for name in ("mnist", "synthetic-digits"):
        results = Results(folder, "part2_lenet5", extras=["confusion"])
        save_weights(Run(LENET5_RELU, MODERN_ELASTIC, name), outcome, results)
    return folder


@pytest.fixture
def main(folder: Path, tmp_path: Path) -> Callable[..., int]:
    """The script with results and figures in `folder`."""

    def main(*argv: str | Path) -> int:
        return part2_own_digits.main([*map(str, argv), "--results-dir", str(folder)])

    return main


def page_of(count: int, seed: int) -> Page:
    """A page with `count` digits in a few fonts."""
    labels = np.random.default_rng(seed).integers(0, 10, count)
    fonts = (255 * synthetic.glyphs()[:6]).numpy().astype(np.uint8)  # (6, 10, H, W)
    return compose(fonts[np.arange(count) % 6, labels], labels, seed)


def boxes_of(path: Path) -> np.ndarray:
    """The boxes found on an image."""
    return np.array([digit.box for digit in find(path)[2]])


def written(count: int = 5, width: int = 900) -> Image.Image:
    """A small page with the digits 0, 1, ... in a font, dark on light."""
    image = Image.new("L", (width, 400), 225)
    for digit in range(count):
        ImageDraw.Draw(image).text((60 + 160 * digit, 120), str(digit), fill=40, font_size=140)
    return image


def test_a_labelled_photograph_is_read(
    main: Callable[..., int], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    page = page_of(20, seed=3)
    text = "".join(map(str, page.labels))
    path = tmp_path / f"digits_{text}.jpg"
    Image.fromarray(page.image).save(path)
    assert main(path) == 0
    output = capsys.readouterr().out
    rows = pd.read_csv(folder / "part2_own_digits.csv", dtype={"label": str, "predicted": str})
    columns = "image,x,y,width,height,label,predicted,probability,second"
    assert list(rows) == columns.split(",")
    assert "".join(rows["label"]) == text
    boxes = rows[["x", "y", "width", "height"]].to_numpy()
    assert (overlaps(boxes, page.boxes).diagonal() > 0.5).all()  # in reading order
    right = (rows["label"] == rows["predicted"]).sum()
    assert right >= 14
    assert re.search(rf"\n{right} of 20 are right: .* % \(95 % interval [\d.]+ to [\d.]+\)", output)
    lines = output[output.index("second choice") :].splitlines()[1:21]
    assert [line.split()[0] for line in lines] == list(rows["predicted"])
    assert (folder / f"figures/part2_own_digits_{path.stem}.png").stat().st_size > 20_000


@pytest.mark.parametrize("seed", range(6))
def test_all_digits_of_a_page_are_found_in_reading_order(seed: int, tmp_path: Path) -> None:
    page = page_of(12, seed)
    path = tmp_path / "page.jpg"
    Image.fromarray(page.image).save(path, quality=80)
    overlap = overlaps(page.boxes, boxes_of(path))
    assert overlap.shape == (12, 12) and (overlap.diagonal() > 0.5).all()


def with_alpha(image: Image.Image) -> Image.Image:
    """Ink on transparent ground."""
    alpha = Image.eval(image, lambda value: 255 - value)
    return Image.merge("LA", (Image.new("L", image.size), alpha)).convert("RGBA")


KINDS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "page.png": lambda image: image,
    "colour.jpg": lambda image: image.convert("RGB"),
    "light_on_dark.png": lambda image: Image.eval(image, lambda value: 255 - value),
    "transparent.png": with_alpha,
    "16_bits.png": lambda image: Image.fromarray(np.asarray(image).astype(np.uint16) * 200),
    "palette.gif": lambda image: image.convert("P"),
    "uneven.png": lambda image: Image.fromarray(
        (np.asarray(image) * np.linspace(0.3, 1, image.width)).astype(np.uint8)
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_kinds_of_images(name: str, tmp_path: Path) -> None:
    plain, path = tmp_path / "plain.png", tmp_path / name
    written().save(plain)
    KINDS[name](written()).save(path)
    assert len(boxes_of(plain)) == 5
    assert np.abs(boxes_of(path) - boxes_of(plain)).max() <= 2


def test_of_an_animated_gif_the_first_frame_is_read(tmp_path: Path) -> None:
    path = tmp_path / "animated.gif"
    written(3).save(path, save_all=True, append_images=[written(5)] * 2)
    assert len(boxes_of(path)) == 3


def test_a_large_photograph_from_a_turned_phone(tmp_path: Path) -> None:
    """Boxes are in pixels of the upright image, as a viewer shows it."""
    small, path = tmp_path / "small.png", tmp_path / "phone.jpg"
    image = written(5, width=533)  # 3 digits fit
    image.save(small)
    image = image.resize((4032, 3024)).rotate(90, expand=True)  # the camera's orientation
    exif = Image.Exif()
    exif[0x112] = 6
    image.save(path, exif=exif)
    boxes = boxes_of(path)
    assert image.size == (3024, 4032) and len(boxes) == 3
    assert np.abs(boxes / (4032 / 533) - boxes_of(small)).max() < 2


def test_parts_of_a_digit_are_joined_and_specks_dropped(tmp_path: Path) -> None:
    image = written(2)
    draw = ImageDraw.Draw(image)
    draw.line([(500, 150), (490, 200), (540, 205), (550, 240), (490, 270)], fill=40, width=12)
    draw.line([(512, 136), (575, 130)], fill=40, width=10)  # the bar of a 5
    for x, y in ((30, 30), (700, 350), (640, 200)):
        draw.ellipse([x, y, x + 7, y + 7], fill=40)
    image.save(tmp_path / "page.png")
    boxes = boxes_of(tmp_path / "page.png")
    assert len(boxes) == 3
    x, y, width, height = boxes[2]
    assert y < 133 and y + height > 265 and x + width > 570


def test_a_digit_has_no_ink_of_its_neighbour(tmp_path: Path) -> None:
    """Slanted digits: their boxes overlap."""
    image = Image.new("L", (600, 400), 225)
    for x in (200, 260):
        ImageDraw.Draw(image).line([(x + 110, 100), (x, 300)], fill=40, width=12)
    image.save(tmp_path / "page.png")
    first, second = find(tmp_path / "page.png")[2]
    assert second.box[0] < first.box[0] + first.box[2]
    for digit in (first, second):
        assert ndimage.label(digit.ink > 0.3)[1] == 1


def test_ruled_lines_through_digits_are_removed(tmp_path: Path) -> None:
    plain, path = tmp_path / "plain.png", tmp_path / "ruled.png"
    image = written()
    image.save(plain)
    for y in range(30, 400, 45):
        ImageDraw.Draw(image).line([(0, y), (900, y + 50)], fill=90, width=3)
    image.save(path)
    assert (overlaps(boxes_of(plain), boxes_of(path)).diagonal() > 0.8).all()


def test_the_table_around_the_paper_is_no_digit(tmp_path: Path) -> None:
    page = Image.new("L", (980, 460), 20)
    page.paste(written(), (40, 30))
    page.save(tmp_path / "table.png")
    assert len(boxes_of(tmp_path / "table.png")) == 5


def save_text(path: Path) -> None:
    path.write_text("no image")


def save_part(path: Path) -> None:
    written().save(path, "PNG")
    path.write_bytes(path.read_bytes()[:1000])


def save_bomb(path: Path) -> None:
    """A small file of 50,000 x 50,000 pixels: only its header is right."""
    written().save(path, "BMP")
    content = bytearray(path.read_bytes())
    content[18:26] = (50_000).to_bytes(4, "little") * 2
    path.write_bytes(content)


def save_noise(path: Path) -> None:
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (700, 900)).astype(np.uint8)).save(path)


BAD = {
    "missing.png": (lambda path: None, "is no file"),
    "folder": (Path.mkdir, "is a folder: name the images in it"),
    "text.jpg": (save_text, "no image that can be read"),
    "part.png": (save_part, "no image that can be read"),
    "bomb.bmp": (save_bomb, "no image that can be read (DecompressionBombError"),
    "white.png": (Image.new("L", (800, 600), 255).save, "no digits on this page"),
    "dot.png": (Image.new("L", (1, 1)).save, "no digits on this page"),
    "noise.png": (save_noise, "no digits on this page"),
    "lines.png": (
        lambda path: Image.fromarray(
            np.where(np.arange(600)[:, None] % 60 < 3, 90, 220 + np.zeros((600, 800), int)).astype(
                np.uint8
            )
        ).save(path),
        "no digits on this page",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_one_line_and_the_others_are_read(
    name: str, main: Callable[..., int], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path, good = tmp_path / name, tmp_path / "good.png"
    save, message = BAD[name]
    save(path)
    written().save(good)
    assert main(path, good) == 1
    output, error = capsys.readouterr()
    assert error.count("\n") == 1
    assert error.startswith(f"error: {path}") and message in error
    assert f"{good}: 5 digits" in output
    images = set(pd.read_csv(folder / "part2_own_digits.csv")["image"])
    assert good.as_posix() in images and path.as_posix() not in images


def test_another_number_of_labels_than_digits(
    main: Callable[..., int], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "page.png"
    written().save(path)
    assert main(path, "--labels", "0123") == 1
    output, error = capsys.readouterr()
    assert error == f"error: {path}: 4 labels, but 5 digits are found\n"
    assert "are right" not in output
    assert (folder / "figures/part2_own_digits_page.png").exists()  # shows what is found
    rows = pd.read_csv(folder / "part2_own_digits.csv")
    assert rows.loc[rows["image"] == path.as_posix(), "label"].isna().all()

    # The same image again, with the right labels: its rows are replaced, no others.
    assert main(path, "--labels", "01234") == 0
    again = pd.read_csv(folder / "part2_own_digits.csv")
    assert len(again) == len(rows)
    assert again.loc[again["image"] == path.as_posix(), "label"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "name images, or use --compare, or --draw"),
        (["a.png", "--draw"], "name images, or use --compare, or --draw"),
        (["a.png", "b.png", "--labels", "12"], "--labels needs digits, and one image"),
        (["a.png", "--labels", "one"], "--labels needs digits, and one image"),
        (["a.png", "--design", "8-16"], "invalid choice: '8-16'"),
        (["--draw", "--port", "70000"], "--port: 70000 is not at least 0 and below 65536"),
    ],
)
def test_a_wrong_command_line(
    argv: list[str], message: str, main: Callable[..., int], capsys: pytest.CaptureFixture
) -> None:
    try:
        status = main(*argv)
    except SystemExit as error:
        status = error.code
    assert status == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["page.png"], ["--draw"], ["page.png", "--design", "30"]])
def test_without_saved_networks(
    argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert part2_own_digits.main([*argv, "--results-dir", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: no weights of ") and error.count("\n") == 1


def test_a_prepared_digit_is_like_mnists() -> None:
    line = np.zeros((900, 700), np.float32)
    for step in range(600):  # a stroke of 2 % of the height, far from the middle
        line[50 + step, 20 + step // 2 : 32 + step // 2] = 1
    for thicken in (True, False):
        image = prepare(line, thicken=thicken)
        assert image.dtype == np.uint8 and image.shape == (28, 28)
        rows, columns = np.nonzero(image > 25)
        assert np.ptp(rows) + 1 in (20, 19) and np.ptp(columns) < 14
        assert np.abs(np.array(ndimage.center_of_mass(image)) - 14).max() <= 0.51
        if thicken:
            assert (image.astype(float).sum(1)[rows.min() + 2 : rows.max() - 1] > 2 * 255).all()
    corner = prepare(line, centre="corner")
    assert corner[0].any() and corner[:, 0].any() and not corner[21:].any()


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (5, 3000), (28, 28)])
def test_preparing_nothing_and_ink_only(shape: tuple[int, int]) -> None:
    assert not prepare(np.zeros(shape)).any()
    if all(shape):
        assert prepare(np.ones(shape)).max() == 255


def test_half_of_scikit_learns_digits_are_for_tuning() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is optional")
    tuning, reporting = of_scikit_learn(tuning=True), of_scikit_learn()
    assert (len(tuning.labels), len(reporting.labels)) == (897, 900)
    assert reporting.inks[0].shape == (8, 8) and reporting.inks[0].max() == 1


@pytest.mark.real_data
def test_mnists_digits_stay_almost_the_same(data_dir: Path) -> None:
    images = datasets.load("mnist", data_dir).test.images[:200, 0].numpy()
    prepared = np.stack([prepare(image / 255) for image in images]).astype(int)
    assert np.abs(prepared - images).mean() < 8  # of 255


def test_preparations_are_compared(
    main: Callable[..., int],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    monkeypatch.setattr(part2_own_digits, "PAGES", [20, 30])
    before = (folder / "part2_own_digits.csv").read_bytes()
    assert main("--compare", "--synthetic") == 0
    output = capsys.readouterr().out
    assert "not measured: load_digits needs scikit-learn: pip install scikit-learn" in output
    assert output.count("not measured: no weights of ") == 7
    assert "of 50 digits not found" in output
    rows = pd.read_csv(folder / "part2_own_digits_preparation.csv").set_index("preparation")
    assert set(rows.index) == set(part2_own_digits.PREPARATIONS)
    assert (rows["total"] == 50).all() and (rows["right"] / 50 == rows["accuracy"]).all()
    assert (rows["low"] < rows["accuracy"]).all() and (rows["accuracy"] < rows["high"]).all()
    assert rows["accuracy"]["as MNIST"] > 0.7 > 0.5 > rows["accuracy"]["not inverted"]
    assert (folder / "part2_own_digits.csv").read_bytes() == before
    for what in ("preparation", "pages"):
        assert (folder / f"figures/part2_own_digits_compare_{what}.png").exists()


def test_the_docstring_agrees_with_the_results() -> None:
    path = ROOT / "results/part2_own_digits_preparation.csv"
    if not path.exists():
        pytest.skip("no results of --compare")
    rows = pd.read_csv(path, dtype={"design": str}).set_index(part2_own_digits.KEY)["accuracy"]
    best, mlp = ("lenet5-relu", "modern-elastic"), ("300", "modern")
    expected = [
        rows[("pages", *best, "as MNIST")],
        rows[("load_digits", *best, "as MNIST")],
        rows[("pages", *best, "by box")],
        rows[("pages", *mlp, "by box")],
        rows[("pages", *mlp, "as MNIST")],
        rows[("pages", *best, "corner")],
        rows[("pages", *best, "not inverted")],
    ]
    quoted = re.findall(r"(\d+\.\d) %", part2_own_digits.__doc__)
    assert quoted == [percent(accuracy, 1) for accuracy in expected]
