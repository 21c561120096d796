"""Part 2: how well does LeNet-5 read your own handwriting?

python part2_own_digits.py photo.jpg scan.png  digits on photographs and scans
python part2_own_digits.py --draw              draw a digit in your browser
python part2_own_digits.py --compare           does preparation matter?

Prepared as MNIST was, LeNet-5 (lenet5-relu, modern-elastic) reads 98.4 % of the
digits on composed pages, and 96.8 % of scikit-learn's. With the box instead of
the mass in the centre it reads 98.1 % on pages, and the MLP 300 reads 88.9 %
instead of 97.3 %. In a corner LeNet-5 reads 17.1 %, not inverted 22.7 %.
"""

import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from common import LabError, UsageError, cli, console
from common.data.datasets import DIGITS, MNIST_NORMALISATION, Dataset, Examples, load
from common.digits import drawing, figures
from common.digits.find import find
from common.digits.prepare import prepare
from common.digits.samples import of_scikit_learn, on_pages
from common.models.design import Design
from common.models.lenet1998 import LENET5_1998
from common.models.networks import LENET5, LENET5_2017, LENET5_RELU, mlp_design
from common.plots import style
from common.results.outcome import trained
from common.results.store import Results
from common.results.tables import merge_table
from common.settings import Settings
from common.statistics.intervals import wilson
from common.training.evaluation import predict
from common.training.loop import Run
from common.training.recipes import LECUN1998, MODERN, MODERN_ELASTIC, Recipe

# The saved networks, each with its recipe. Of two recipes, --design takes the last one.
MODERN_DESIGNS = [mlp_design(30), mlp_design(300), mlp_design(300, 100), LENET5, LENET5_2017]
NETWORKS = [(design, MODERN) for design in (*MODERN_DESIGNS, LENET5_RELU)]
NETWORKS += [(LENET5_1998, LECUN1998), (LENET5_RELU, MODERN_ELASTIC)]
BY_NAME = {design.name: (design, recipe) for design, recipe in NETWORKS}
DRAWN = {
    "MLP 300-100": "300-100",
    "LeNet-5 (1998)": "lenet5-1998",
    "LeNet-5 (today)": "lenet5-relu",
}

# The ink of a digit, float32 (H, W), becomes the image that a network gets, uint8 (28, 28).
PREPARATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as MNIST": prepare,
    "thin strokes": partial(prepare, thicken=False),
    "by box": partial(prepare, centre="box"),
    "corner": partial(prepare, centre="corner"),
    "not inverted": lambda ink: 255 - prepare(ink),
}
PAGES = [5, 10, 15, 20, 25, 30] * 20  # of the experiment: the number of digits on each page
SEED = 10_000  # of these pages; constants were chosen on pages of training digits
KEY = ["digits", "design", "recipe", "preparation"]
EXPERIMENT = Path(__file__).stem


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Read the digits on images, or compare preparations, or serve the drawing page."""
    parser = cli.reading_parser(__doc__, "mnist")
    add = parser.add_argument
    add("images", nargs="*", type=Path, metavar="IMAGE", help="photographs or scans of digits")
    labels_help = "the digits on the image, row by row (or name the file digits_3141.jpg)"
    add("--labels", metavar="3141", help=labels_help)
    names = {"choices": list(BY_NAME), "default": LENET5_RELU.name, "metavar": "NAME"}
    add("--design", **names, help="the network: %(choices)s (default: %(default)s)")
    add("--data-dir", metavar="DIR", help=cli.DATA_DIR_HELP)
    add("--compare", action="store_true", help="measure how much preparation matters")
    add("--draw", action="store_true", help="serve a page for your browser: draw a digit")
    add("--port", type=cli.number(int, 0, 65536), default=8000, help="of --draw (default: 8000)")
    args = parser.parse_args(argv)
    settings = Settings.of(args)
    if bool(args.images) + args.compare + args.draw != 1:
        raise UsageError("name images, or use --compare, or --draw")
    if args.labels and (len(args.images) != 1 or not re.fullmatch("[0-9]+", args.labels)):
        raise UsageError("--labels needs digits, and one image")
    if args.draw:
        models = {name: network(*BY_NAME[design], settings) for name, design in DRAWN.items()}
        return drawing.serve(models, args.port)
    if args.compare:
        return compare(settings)
    design, recipe = BY_NAME[args.design]
    model, failed = network(design, recipe, settings), False
    print(f"network: {design.name}, trained with {recipe.name}")
    for path in args.images:
        try:
            read(path, args.labels, model, settings)
        except LabError as error:
            print(f"error: {error}", file=sys.stderr)
            failed = True
    return int(failed)


def network(design: Design, recipe: Recipe, settings: Settings) -> nn.Module:
    """The saved network of seed 0. LabError: it is not saved."""
    results = Results(settings.results_dir, "part2_lenet5", extras=["confusion"])
    if "hidden" in design.columns:
        results = Results(settings.results_dir, "part2_mlp", {"hidden": ""}, ["variations"])
    return trained(Run(design, recipe, settings.dataset), results)


def probabilities(model: nn.Module, images: Sequence[np.ndarray]) -> np.ndarray:
    """The probability of each class, float32 (N, 10), for uint8 images (28, 28)."""
    pixels = torch.from_numpy(np.stack(images)).unsqueeze(1)
    part = Examples(pixels, torch.zeros(len(pixels), dtype=torch.int64))
    own = Dataset("own digits", DIGITS, MNIST_NORMALISATION, part, part)
    return predict(model, own, pixels).softmax(1).numpy()


def read(path: Path, labels: str | None, model: nn.Module, settings: Settings) -> None:
    """Print the digits on an image, write their rows, draw the page and what the network saw.

    Raises:
        LabError: the image has no digits, or not as many as labels.
    """
    page, scale, found = find(path)
    images = [prepare(digit.ink) for digit in found]
    scores = probabilities(model, images)
    named = re.fullmatch("digits_([0-9]+)", path.stem)
    labels = labels or (named[1] if named else "")
    table = pd.DataFrame([digit.box for digit in found], columns=["x", "y", "width", "height"])
    table.insert(0, "image", path.as_posix())
    table["label"] = list(labels) if len(labels) == len(found) else ""
    second, first = scores.argsort(1)[:, -2:].T
    table["predicted"], table["probability"] = first.astype(str), scores.max(1).astype(float)
    table["second"] = second.astype(str)
    print(f"\n{path}: {len(found)} digits\n\ndigit  probability  second choice")
    for row, values in zip(table.itertuples(), scores, strict=True):
        shares = [console.percent(value, 1) for value in values]
        second = f"{row.second} ({shares[int(row.second)]} %)"
        print(f"{row.predicted:<6} {shares[int(row.predicted)]:>9} %  {second}")
    if table["label"].all():
        print("\n" + accuracy_text(int((table["label"] == table["predicted"]).sum()), len(table)))
    results = settings.results_dir / f"{EXPERIMENT}.csv"
    merge_table(results, ["image"], table, ["image", "x", "y", "width", "height"])
    figure = figures.page_and_digits(page, scale, images, table)
    drawn = style.save(figure, settings.figures_dir / f"{EXPERIMENT}_{path.stem}.png")
    print(f"\nresults: {console.relative_path(results)}\nfigure:  {console.relative_path(drawn)}")
    if len(labels) not in (0, len(found)):
        raise LabError(f"{path}: {len(labels)} labels, but {len(found)} digits are found")


def compare(settings: Settings) -> int:
    """Measure every saved network with every preparation; print, write, draw."""
    models = {}
    for design, recipe in NETWORKS:
        try:
            models[design.name, recipe.name] = network(design, recipe, settings)
        except LabError as error:
            print(f"not measured: {error}")
    if not models:
        raise LabError(f"{settings.results_dir} has no saved networks")
    samples = {"pages": on_pages(load(settings.dataset, settings.data_dir).test, PAGES, SEED)}
    try:
        samples["load_digits"] = of_scikit_learn()
    except LabError as error:
        print(f"not measured: {error}")
    rows, drawings = [], {}
    for digits, (inks, labels) in samples.items():
        for preparation, function in PREPARATIONS.items():
            images = [function(ink) for ink in inks]
            for (design, recipe), model in models.items():
                predicted = probabilities(model, images).argmax(1)
                right, total = int((predicted == labels).sum()), len(labels)
                row = dict(zip(KEY, (digits, design, recipe, preparation), strict=True))
                row |= {"right": right, "total": total, "accuracy": right / total}
                rows.append(row | dict(zip(("low", "high"), wilson(right, total), strict=True)))
                if function is prepare:  # at the end, of the last network, the best one
                    text = f"{digits}, {design}, {recipe}: {accuracy_text(right, total)}"
                    drawings[digits] = figures.misread(images, predicted, labels, text)
    table = pd.DataFrame(rows)
    shares = table.assign(share=table["accuracy"].map(console.percent))
    shares = shares.pivot(index=KEY[:3], columns="preparation", values="share")[[*PREPARATIONS]]
    for digits in samples:
        print(f"\naccuracy in % on {digits}, by preparation")
        console.print_table(shares.loc[digits].reset_index().to_dict("records"))
    results = settings.results_dir / f"{EXPERIMENT}_preparation.csv"
    merge_table(results, KEY, table)
    print(f"\nresults: {console.relative_path(results)}")
    for what, figure in {"preparation": figures.by_preparation(table), **drawings}.items():
        path = style.save(figure, settings.figures_dir / f"{EXPERIMENT}_compare_{what}.png")
        print(f"figure:  {console.relative_path(path)}")
    return 0


def accuracy_text(right: int, total: int) -> str:
    """An accuracy in words: `3 of 4 are right: 75.00 % (95 % interval 30.06 to 95.44)`."""
    share, limits = console.percent(right / total), console.interval(*wilson(right, total))
    return f"{right:,} of {total:,} are right: {share} % (95 % interval {limits})"


if __name__ == "__main__":
    sys.exit(main())
