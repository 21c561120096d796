"""Part 1: how well does the network of PyTorch's 60-minute tutorial do?

    python part1_cifar_tutorial.py                     its four parts, 3 seeds
    python part1_cifar_tutorial.py --section autograd  one of them
    python part1_cifar_tutorial.py --synthetic         on built-in images

Measured on CIFAR-10's test set (torch 2.15.0+cu132, one thread of an AMD EPYC,
cpu AVX512):

    recipe    design     n  accuracy  95 % interval   test loss
    tutorial  baseline  10  54.72 %  53.87 to 55.56  1.2709

Published builds of the tutorial reach 54.4 % on average. Single classes spread
far more than all together over seeds: one seed's per-class table does not tell
which classes are hard.

Source: https://pytorch.org/tutorials/beginner/deep_learning_60min_blitz.html
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import nn

from common import LabError, cli
from common import console as terminal
from common import experiment as experiments
from common.data.datasets import TUTORIAL_NORMALISATION, Dataset
from common.models import networks as models
from common.plots import accuracy as plotting
from common.plots import curves
from common.results.store import Results
from common.sweep.runs import trained
from common.training.evaluation import evaluate, predict
from common.training.loop import Run, place
from common.training.recipes import TUTORIAL

EXPERIMENT = Path(__file__).stem
DESIGNS = [models.cifar_design("baseline")]
RECIPES = [TUTORIAL]
SHOWN = 24  # test images in the figure of predictions


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Go through the sections that the options ask for."""
    sections = {"tensors": tensors, "autograd": autograd, "networks": networks}
    parser = cli.parser(__doc__, RECIPES, dataset="cifar10")
    names = [*sections, "classifier", "all"]
    told = {"metavar": "NAME", "help": "%(choices)s (default)"}
    parser.add_argument("--section", choices=names, default="all", **told)
    options = cli.parse(parser, argv)
    runs = experiments.runs(parser, options, DESIGNS)

    chosen = names[:-1] if options.section == "all" else [options.section]
    if options.plot_only or options.list:
        chosen = ["classifier"]  # the others have no results
    for name in chosen:
        print(f"\n== {name} ==")
        if name == "classifier":
            return classifier(runs, options)
        sections[name]()
    return 0


def tensors() -> None:
    """Creation, operations, and the bridge to NumPy, which shares memory."""
    torch.manual_seed(0)
    x = torch.tensor([[1, 2], [3, 4]])
    print(f"from data:\n{x}")
    print(f"ones like it:\n{torch.ones_like(x)}")
    noise = torch.rand(2, 3)
    print(f"random, with shape {tuple(noise.shape)}, {noise.dtype}, on {noise.device}:\n{noise}")

    t = torch.ones(4, 4)
    t[:, 1] = 0
    print(f"a column set to zero:\n{t}")
    print(f"two side by side have the shape {tuple(torch.cat([t, t], dim=1).shape)}")
    print(f"element by element, t * t:\n{t * t}")
    print(f"matrix product, t @ t.T:\n{t @ t.T}")
    t.add_(5)  # an underscore: in place
    print(f"5 added in place:\n{t}")

    t = torch.ones(5)
    n = t.numpy()
    t.add_(1)
    print(f"a tensor and its NumPy array share memory: {t} and {n}")
    assert (n == 2).all()
    n = np.ones(5)
    t = torch.from_numpy(n)
    np.add(n, 1, out=n)
    print(f"and so the other way round: {n} and {t}")
    assert (t == 2).all()


def autograd() -> None:
    """Gradients that autograd finds, beside those found by hand; a step of gradient descent."""
    a = torch.tensor([2.0, 3.0], requires_grad=True)
    b = torch.tensor([6.0, 4.0], requires_grad=True)
    q = 3 * a**3 - b**2
    q.backward(gradient=torch.ones(2))
    print(f"Q = 3a^3 - b^2 at a = {a.tolist()}, b = {b.tolist()}")
    print(f"dQ/da by autograd {a.grad.tolist()}, by hand 9a^2 = {(9 * a**2).tolist()}")
    print(f"dQ/db by autograd {b.grad.tolist()}, by hand -2b = {(-2 * b).tolist()}")
    assert torch.equal(a.grad, 9 * a**2)
    assert torch.equal(b.grad, -2 * b)

    torch.manual_seed(0)
    x, target = torch.rand(8, 3), torch.rand(8, 1)
    model = nn.Linear(3, 1)
    before = F.mse_loss(model(x), target)
    before.backward()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.step()
    after = F.mse_loss(model(x), target)
    print(f"a step of gradient descent takes the loss from {before:.4f} to {after:.4f}")
    assert after < before


def networks() -> None:
    """The network's parameters; a loss, its gradients, and the update that they make."""
    torch.manual_seed(0)
    net = models.cifar_cnn()
    print(net)
    for name, parameter in net.named_parameters():
        print(f"{name:<10} {tuple(parameter.shape)!s:<16} {parameter.numel():>7,}")
    print(f"together {sum(p.numel() for p in net.parameters()):,} parameters")

    x, target = torch.randn(1, 3, 32, 32), torch.randn(1, 10)
    loss = F.mse_loss(net(x), target)
    print(f"loss {loss.item():.4f}, made by {loss.grad_fn}")
    net.zero_grad()
    print(f"gradient of C1's bias before backward: {net.C1.bias.grad}")
    loss.backward()
    print(f"and after it: {net.C1.bias.grad}")

    lr = 0.01
    by_hand = [parameter.detach() - lr * parameter.grad for parameter in net.parameters()]
    torch.optim.SGD(net.parameters(), lr=lr).step()
    assert all(map(torch.allclose, net.parameters(), by_hand))
    print("SGD's update is weight = weight - lr * gradient")
    assert F.mse_loss(net(x), target) < loss
    print(f"after it the loss is {F.mse_loss(net(x), target).item():.4f}")


def classifier(runs: Sequence[Run], options: argparse.Namespace) -> int:
    """Train on CIFAR-10, and tell overall and per-class accuracy."""
    columns = tuple(DESIGNS[0].columns)
    results = Results(options.results_dir, EXPERIMENT, columns, ["confusion", "loss"])
    if options.list:
        terminal.print_list(runs, results, options)
        return 0
    wanted = options.fresh or not all(run.key in results for run in runs)
    if wanted and not options.plot_only:
        check_transforms(options.load(), options)
    frames, failed = experiments.measure(runs, results, options)
    terminal.print_classes(frames["classes"])
    figures = experiments.save(draw(frames, runs[0], results, options), EXPERIMENT, options)
    terminal.print_closing(results, frames["runs"], figures, failed, options)
    return 1 if failed else 0


def check_transforms(dataset: Dataset, options: argparse.Namespace) -> None:
    """The tutorial's transforms and DataLoader give the numbers that training is given."""
    from torchvision import transforms
    from torchvision.datasets import CIFAR10

    mean, deviation = ([value] * 3 for value in TUTORIAL_NORMALISATION)
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, deviation)])
    if options.dataset == "cifar10":
        photos = CIFAR10(options.data_dir, train=True, transform=transform)
    else:
        pixels = dataset.train.images[:4].permute(0, 2, 3, 1).numpy()  # height, width, channels
        photos = [
            (transform(p), int(y)) for p, y in zip(pixels, dataset.train.labels, strict=False)
        ]
    x, y = next(iter(torch.utils.data.DataLoader(photos, batch_size=4)))
    print(f"a batch of the DataLoader: images {tuple(x.shape)}, {x.dtype}, labels {y.tolist()}")
    assert torch.equal(x, dataset.normalised(dataset.train.images[:4]))
    assert torch.equal(y, dataset.train.labels[:4])
    print("the tensors in memory, normalised, are equal to it: training uses these")


def draw(
    frames: dict[str, pd.DataFrame], run: Run, results: Results, options: argparse.Namespace
) -> dict[str, Figure]:
    """All figures; those of filters and predictions only where weights (and data) are at hand."""
    figures = {
        "loss": curves.loss_curve(frames["loss"]),
        "classes": plotting.accuracy_by_class(frames["classes"]),
        "confusion": plotting.confusion_matrices(frames["confusion"]),
    }
    note = f"{options.dataset}, {terminal.describe(options.recipe)}; seed {run.seed}"
    try:
        model = trained(run, results)
        figures["filters"] = draw_filters(model, note)
        dataset = options.load()
        check_weights(model, frames, dataset)
        figures["predictions"] = draw_predictions(model, dataset, note)
    except LabError as error:
        print(f"\nfigures of filters and predictions: {error}")
    return figures


def check_weights(model: nn.Module, frames: dict[str, pd.DataFrame], dataset: Dataset) -> None:
    """The weights, saved and read again, predict what the network predicted when trained."""
    run = frames["runs"].query("seed == 0").iloc[0]
    recorded = frames["confusion"].query("seed == 0")["count"]
    if recorded.empty or (run["device"], run["torch"]) != (place("cpu"), torch.__version__):
        return  # it diverged, or was trained elsewhere: the last digits may differ
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in training
    again = evaluate(model, dataset, dataset.test)
    torch.set_num_threads(threads)
    if again.confusion.flatten().tolist() != recorded.tolist():
        raise LabError("the weights of seed 0 do not give what is recorded: --fresh makes them")
    print(f"\nthe weights of seed 0, read again, reach the same {100 * again.accuracy:.2f} %")


def draw_filters(model: nn.Module, note: str) -> Figure:
    """The learned 5x5 filters of C1 as colours, each stretched to the full range."""
    filters = model.C1.weight.detach()  # (6, 3, 5, 5)
    low, high = filters.amin((1, 2, 3), True), filters.amax((1, 2, 3), True)
    images = ((filters - low) / (high - low)).numpy()
    names = [f"map {number}" for number in range(1, len(images) + 1)]
    return plotting.image_grid(images, names, len(images), "Filters of C1", note)


def draw_predictions(model: nn.Module, dataset: Dataset, note: str) -> Figure:
    """The first test images, each with its class and what the network takes it for."""
    images, labels = (part[:SHOWN] for part in dataset.test)
    predicted = predict(model, dataset, images).argmax(1)
    captions = [
        f"{dataset.classes[y]}\nas {dataset.classes[p]}{'' if y == p else '!'}"
        for y, p in zip(labels, predicted, strict=True)
    ]
    right = int((labels == predicted).sum())
    title = f"Test images, true class and prediction: {right} of {SHOWN} right (wrong in orange)"
    return plotting.image_grid(images.numpy(), captions, 8, title, note)


if __name__ == "__main__":
    sys.exit(main())
