"""Part 1: how well does the network of PyTorch's 60-minute tutorial do?

    python part1_cifar_tutorial.py                     all four parts
    python part1_cifar_tutorial.py --section autograd  only one part
    python part1_cifar_tutorial.py --synthetic         on built-in images

The network classifies 54.72 % of CIFAR-10's test images correctly; published
builds of the tutorial reach 54.4 % on average. The accuracy of a single class
varies far more from seed to seed: the per-class table of one seed does not
show which classes are hard.

Source: https://pytorch.org/tutorials/beginner/deep_learning_60min_blitz.html
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from common import LabError, cli, console
from common.data.datasets import TUTORIAL_NORMALISATION
from common.data.download import cifar10_source
from common.experiment import Experiment, Tables
from common.models.design import layer_outputs
from common.models.networks import CIFAR_COLUMNS, CifarCNN, cifar_design
from common.plots.accuracy import accuracy_by_class, confusion_matrices
from common.plots.curves import loss_curve
from common.plots.images import feature_maps, filters, image_grid
from common.settings import Settings
from common.training.evaluation import predict
from common.training.loop import initial_model
from common.training.recipes import TUTORIAL

SHOWN = 24  # test images in the figure of predictions


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Run one section or all sections."""
    sections = {"tensors": tensors, "autograd": autograd, "networks": networks}
    parser = cli.parser(__doc__, "cifar10", [TUTORIAL], classes=False)
    choices = {"choices": [*sections, "classifier", "all"], "default": "all"}
    parser.add_argument("--section", metavar="NAME", help="%(choices)s (default)", **choices)
    args = parser.parse_args(argv)
    stored = {"columns": CIFAR_COLUMNS, "extras": ("confusion", "loss")}
    lab = Experiment(Path(__file__).stem, Settings.of(args), [cifar_design("baseline")], **stored)
    # Only the classifier has results.
    section = "classifier" if args.plot_only or args.evaluate or args.list else args.section
    for name, function in sections.items():
        if section in (name, "all"):
            print(f"\n== {name} ==")
            function()
    if section in sections:
        return 0
    print("\n== classifier ==")
    if lab.missing():
        check_transforms(lab)
    return lab.run(report)


def check(holds: object, statement: str) -> None:
    """Print a statement, or stop the tutorial if it is false."""
    if not holds:
        raise LabError(f"the tutorial's statement '{statement}' is false here: please report it")
    print(statement)


def tensors() -> None:
    """Creation, operations, and the bridge to NumPy, which shares memory."""
    torch.manual_seed(0)
    x = torch.tensor([[1, 2], [3, 4]])
    print(f"from data:\n{x}\nones of the same shape:\n{torch.ones_like(x)}")
    noise = torch.rand(2, 3)
    print(f"random, shape {tuple(noise.shape)}, {noise.dtype}, on {noise.device}:\n{noise}")

    t = torch.ones(4, 4)
    t[:, 1] = 0
    print(f"a column set to zero:\n{t}")
    print(f"two tensors joined in dimension 1: shape {tuple(torch.cat([t, t], dim=1).shape)}")
    print(f"element by element, t * t:\n{t * t}\nmatrix product, t @ t.T:\n{t @ t.T}")
    t.add_(5)  # the underscore means: in place
    print(f"5 added in place:\n{t}")

    t = torch.ones(5)
    n = t.numpy()
    t.add_(1)
    check((n == 2).all(), f"a tensor and its NumPy array share memory: {t} and {n}")
    n = np.ones(5)
    t = torch.from_numpy(n)
    np.add(n, 1, out=n)
    check((t == 2).all(), f"an array and its tensor share memory too: {n} and {t}")


def autograd() -> None:
    """Gradients by autograd and by hand."""
    a = torch.tensor([2.0, 3.0], requires_grad=True)
    b = torch.tensor([6.0, 4.0], requires_grad=True)
    q = 3 * a**3 - b**2
    q.backward(gradient=torch.ones(2))
    print(f"Q = 3a^3 - b^2 at a = {a.tolist()}, b = {b.tolist()}")
    for x, name, formula, by_hand in ((a, "a", "9a^2", 9 * a**2), (b, "b", "-2b", -2 * b)):
        text = f"dQ/d{name} by autograd {x.grad.tolist()}, by hand {formula} = {by_hand.tolist()}"
        check(torch.equal(x.grad, by_hand), text)


def networks() -> None:
    """The network's parameters; a loss, its gradients, and an update of the weights."""
    torch.manual_seed(0)
    net = CifarCNN()
    print(net)
    for name, parameter in net.named_parameters():
        print(f"{name:<10} {tuple(parameter.shape)!s:<16} {parameter.numel():>7,}")
    print(f"total: {sum(p.numel() for p in net.parameters()):,} parameters")

    x, target, error = torch.randn(1, 3, 32, 32), torch.randn(1, 10), nn.MSELoss()
    loss = error(net(x), target)
    print(f"loss {loss.item():.4f}, computed by {loss.grad_fn}")
    print(f"gradient of C1's bias before backward: {net.C1.bias.grad}")
    loss.backward()
    print(f"after backward: {net.C1.bias.grad}")

    by_hand = [parameter.detach() - 0.01 * parameter.grad for parameter in net.parameters()]
    torch.optim.SGD(net.parameters(), lr=0.01).step()
    same = all(map(torch.allclose, net.parameters(), by_hand))
    check(same, "SGD's update is weight = weight - lr * gradient")
    after = error(net(x), target)
    check(after < loss, f"one step of gradient descent reduces the loss to {after.item():.4f}")


def check_transforms(lab: Experiment) -> None:
    """Check that the tutorial's transforms and DataLoader give the tensors of our training."""
    # Imported here: worker processes import this script and need no torchvision.
    from torchvision import transforms
    from torchvision.datasets import CIFAR10

    normalize = transforms.Normalize(*TUTORIAL_NORMALISATION)
    transform = transforms.Compose([transforms.ToTensor(), normalize])
    dataset = lab.dataset()
    images, labels = (part[:4] for part in dataset.train)
    if lab.settings.dataset == "cifar10":
        folder = cifar10_source().folder(lab.settings.data_dir)
        photos = CIFAR10(folder, train=True, transform=transform)
    else:
        pixels = images.permute(0, 2, 3, 1).numpy()  # height, width, channels
        photos = [(transform(p), int(y)) for p, y in zip(pixels, labels, strict=True)]
    x, y = next(iter(torch.utils.data.DataLoader(photos, batch_size=4)))
    print(f"a batch of the DataLoader: images {tuple(x.shape)}, {x.dtype}, labels {y.tolist()}")
    same = torch.equal(x, dataset.normalised(images)) and torch.equal(y, labels)
    check(same, "training uses tensors in memory: they are equal to this batch")


def report(lab: Experiment, tables: Tables) -> None:
    """Print the accuracy of every class, and draw the figures."""
    console.print_classes(tables.classes)
    lab.figure("loss", loss_curve(tables.loss))
    lab.figure("classes", accuracy_by_class(tables.classes))
    lab.figure("confusion", confusion_matrices(tables.confusion))
    note = f"{lab.settings.dataset}, {console.describe(lab.settings.recipe)}; seed 0"
    try:
        run = lab.runs[0]
        model, first = lab.trained(run), initial_model(run)
        title = "Filters of C1 before and after training"
        lab.figure("filters", filters(first.C1.weight, model.C1.weight, title, note))
        draw_predictions(lab, model, note)
        image = lab.dataset().test.images[:1]
        outputs = layer_outputs(model, lab.dataset().normalised(image))
        title = "What each layer makes of the first test image"
        lab.figure("maps", feature_maps(image[0].numpy(), outputs, title, note))
    except LabError as error:
        print(f"\nfigures of filters, predictions and feature maps: {error}")


def draw_predictions(lab: Experiment, model: nn.Module, note: str) -> None:
    """Draw the first test images, each with its class and the prediction."""
    dataset = lab.dataset()
    images, labels = (part[:SHOWN] for part in dataset.test)
    predicted = predict(model, dataset, images).argmax(1)
    true, answer = (np.array(dataset.classes)[part.numpy()] for part in (labels, predicted))
    captions = [f"{a}\nas {b}{'!' * (a != b)}" for a, b in zip(true, answer, strict=True)]
    correct = (true == answer).sum()
    title = f"Test images, true class and prediction: {correct} of {SHOWN} correct (wrong: orange)"
    lab.figure("predictions", image_grid(images.numpy(), captions, 8, title, note))


if __name__ == "__main__":
    sys.exit(main())
