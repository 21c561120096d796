"""The training loops that ours is measured against, as they were published.

https://pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html (batches of 4) and
https://github.com/pytorch/examples/blob/main/mnist/main.py (batches of 64).
"""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

Batches = Iterable[tuple[Tensor, Tensor]]


def published_loader(name: str, data_dir: Path, workers: int) -> DataLoader:
    """The data loader of the CIFAR-10 tutorial or of the MNIST example."""
    if name == "cifar10":
        normalise = transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        transform = transforms.Compose([transforms.ToTensor(), normalise])
        images = datasets.CIFAR10(data_dir, train=True, transform=transform)
        return DataLoader(images, batch_size=4, shuffle=True, num_workers=workers)
    normalise = transforms.Normalize((0.1307,), (0.3081,))
    transform = transforms.Compose([transforms.ToTensor(), normalise])
    return DataLoader(datasets.MNIST(data_dir, transform=transform), batch_size=64, shuffle=True)


def published_epoch(model: nn.Module, loader: Batches, lr: float, momentum: float) -> None:
    """The loop as the tutorial prints it."""
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    running_loss = 0.0
    for inputs, labels in loader:
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
