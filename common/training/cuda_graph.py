"""A training step launched as a whole: without it a small batch waits for Python, not for the GPU.

Several dozen kernels of a few microseconds each are a step; CUDA can record them once and launch
the record (a CUDA graph, https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs).
"""

from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # x and y to the loss, and the hits

WARM_UP = 3  # steps before the capture, which make what later ones find: momentum, plans of cuDNN


class Captured:
    """A step on CUDA, captured after a few and replayed from then on, batch by batch.

    The first steps, and batches of another size than the captured, the last of an epoch, run as
    they are. What is returned is overwritten by the next call.
    """

    def __init__(self, step: Step, batch_size: int) -> None:
        """`step` must not wait for a number; its learning rate must lie on the device."""
        self.step, self.batch_size, self.done = step, batch_size, 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.stream = torch.cuda.Stream()

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Train on a batch."""
        if len(y) != self.batch_size:
            return self.step(x, y)
        if self.done < WARM_UP:
            self.done += 1
            return self.aside(x, y)
        if self.graph is None:
            self.x, self.y = x.clone(), y.clone()
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):  # records, and runs nothing
                self.returned = self.step(self.x, self.y)
        self.x.copy_(x)
        self.y.copy_(y)
        self.graph.replay()
        return self.returned

    def aside(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """A step on a stream of its own, which PyTorch asks for before a capture."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            returned = self.step(x, y)
        torch.cuda.current_stream().wait_stream(self.stream)
        return returned
