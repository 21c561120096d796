"""What inference costs: against hand computation, and without a trace in what is measured."""

import os

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import part2_profile
from common import LabError
from common.inference import figures as profile_figures
from common.inference import profiling, timing
from common.inference.variants import VARIANTS, UnavailableError
from common.models import networks as models
from common.models.networks import mlp_design
from common.sweep import workers

NETWORKS = [*part2_profile.MLPS, *part2_profile.LENETS]


def outputs(network: nn.Module, x: Tensor) -> list[int]:
    """Values in what each layer makes, of those that make something new."""
    sizes = []
    with torch.inference_mode():
        for layer in network.eval().children():
            before, x = x, layer(x)
            if x.data_ptr() != before.data_ptr():
                sizes.append(x.numel())
    return sizes


@pytest.mark.parametrize("design", NETWORKS, ids=lambda design: design.name)
@pytest.mark.parametrize("images", [1, 16, 64])
def test_activations_hold_at_least_what_a_layer_reads_and_writes(
    design: models.Design, images: int
) -> None:
    """A layer's input and its output are alive at once; the first input is not an activation.

    Beside them a convolution may hold its field of each pixel, and its weights in another order.
    """
    network, x = design.build(), torch.rand(images, *design.image)
    sizes = outputs(network, x)
    least = 4 * max(a + b for a, b in zip([0, *sizes], sizes, strict=False))
    peak = profiling.peak_of_allocations(network, x)
    assert least <= peak <= 4 * (sum(sizes) + models.size(design)[0]) + 4 * x.numel() * 40


def test_activations_of_an_mlp_by_hand() -> None:
    """300 sums and 300 rectified ones are alive at once, and nothing else of that size."""
    network, x = mlp_design(300, 100).build().eval(), torch.rand(64, 1, 28, 28)
    assert profiling.peak_of_allocations(network, x) == 64 * (300 + 300) * 4


def test_traffic_by_hand() -> None:
    values = (784 + 30) + (30 + 10)  # read and written by F1 and by the output
    assert timing.traffic(mlp_design(30), images=5) == 4 * (5 * values + 23860)


class Watched(nn.Module):
    """Notes how it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.profiled: list[bool] = []
        self.inference: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        self.profiled.append(torch.autograd._profiler_enabled())
        self.inference.append(torch.is_inference_mode_enabled())
        return self.layer(x)


def test_time_is_measured_without_the_profiler_and_in_inference_mode() -> None:
    model, x = Watched(), torch.rand(1, 4)
    found = timing.latency(model, x, threads=1, calls=50)
    seconds = timing.seconds_of_a_call(model, x, threads=1, at_least=0.01)
    assert not any(model.profiled) and all(model.inference)
    assert len(model.profiled) > 100  # each of the 50 calls was warmed up for, too
    assert 0 < found.p50 <= found.p90 <= found.p99
    assert seconds > 0
    profiling.profile_calls(model, x, trace=None)
    assert any(model.profiled)


@pytest.mark.parametrize("design", NETWORKS, ids=lambda design: design.name)
def test_the_profiler_changes_no_prediction_and_sees_every_layer(design: models.Design) -> None:
    network, x = design.build().eval(), torch.rand(8, *design.image)
    before = profiling.call(network, x)
    seen = profiling.profile_calls(network, x, trace=None)
    assert torch.equal(profiling.call(network, x), before)
    names = {layer.layer for layer in models.layer_table(design)}
    assert {name for name, _ in seen.layers} == names
    assert all(seconds > 0 for _, seconds in seen.layers)
    operators = {name: calls for name, _, calls in seen.operators}
    full = sum(isinstance(module, nn.Linear) for module in network.modules())
    assert operators["aten::addmm"] == full


def test_variants_predict_the_same_or_nearly() -> None:
    torch.manual_seed(0)
    x = torch.rand(4, 1, 28, 28)
    expected = models.lenet5().eval()
    scores = profiling.call(expected, x)
    for name, close in (("plain", 0), ("channels-last", 1e-5), ("bfloat16", 0.05)):
        again = models.lenet5().eval()
        again.load_state_dict(expected.state_dict())
        found = profiling.call(VARIANTS[name](again), x)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, scores, rtol=0, atol=close)


def test_a_variant_that_a_network_has_not_says_why() -> None:
    with pytest.raises(UnavailableError, match="without convolutions"):
        VARIANTS["channels-last"](models.mlp(30))


def in_its_own_process(what: str) -> int:
    """What `what` says."""
    if what == "raise":
        raise ValueError("this\nand that")
    if what == "exit":
        os._exit(7)
    return os.getpid()


def test_a_measuring_process_that_fails_is_told_in_one_line() -> None:
    calls = [("raise",), ("exit",), ("pid",), ("pid",)]
    found = list(workers.in_fresh_processes(in_its_own_process, calls, jobs=2))
    assert [str(error) for error in found[:2]] == [
        "ValueError: this",
        "the measuring process ended with exit code 7",
    ]
    assert all(isinstance(error, LabError) for error in found[:2])
    assert len({os.getpid(), *found[2:]}) == 3


def test_who_is_on_the_front() -> None:
    cost, error = np.array([3.0, 1.0, 2.0, 2.5, 2.0]), np.array([1.0, 5.0, 4.0, 4.5, 3.0])
    assert profile_figures.pareto(cost, error) == [1, 4, 0]
