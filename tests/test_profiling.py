"""What inference costs: compared with calculations by hand, and without effect on the results."""

import os

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import part2_profile
from common import LabError
from common.inference import figures, profiling
from common.inference.measurement import in_fresh_processes, times_of
from common.inference.profiling import VARIANTS, Plan
from common.models.design import Design, layer_table, leaves, totals
from common.models.networks import LENET5, mlp_design

DESIGNS = [*part2_profile.MLPS, *part2_profile.LENETS]


def outputs(network: nn.Module, x: Tensor) -> list[int]:
    """The number of values that each layer computes, without layers that return their input."""
    sizes = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output.data_ptr() != inputs[0].data_ptr():
            sizes.append(output.numel())

    hooks = [module.register_forward_hook(count) for _, module in leaves(network)]
    profiling.call(network.eval(), x)
    for hook in hooks:
        hook.remove()
    return sizes


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
@pytest.mark.parametrize("images", [1, 16, 64])
def test_activations_hold_at_least_input_and_output_of_a_layer(design: Design, images: int) -> None:
    """The input of the first layer is no activation.

    A convolution may also hold the field of each pixel, and its weights in another order.
    """
    network, x = design.build(), torch.rand(images, *design.image)
    sizes = outputs(network, x)
    least = 4 * max(a + b for a, b in zip([0, *sizes], sizes, strict=False))
    peak = profiling.peak_of_allocations(network, x)
    assert least <= peak <= 4 * (sum(sizes) + totals(design)[0]) + 4 * x.numel() * 40


def test_activations_of_an_mlp_by_hand() -> None:
    """At the peak, 300 sums and their 300 ReLU outputs are in memory."""
    network, x = mlp_design(300, 100).build().eval(), torch.rand(64, 1, 28, 28)
    assert profiling.peak_of_allocations(network, x) == 64 * (300 + 300) * 4


class Watched(nn.Module):
    """Records how it is called."""

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
    plan = Plan("cpu", ["plain"], [1, 2], [1], calls=50, seconds=0.01)
    latency = times_of(model, x, 1, plan)
    seconds = times_of(model, x.expand(2, 4), 1, plan)["seconds"]
    assert not any(model.profiled) and all(model.inference)
    assert len(model.profiled) > 100  # a warm-up before each of the 50 calls, too
    assert 0 < latency["seconds"] <= latency["p90_seconds"] <= latency["p99_seconds"]
    assert seconds > 0
    profiling.record(leaves(model))
    profiling.profile_calls(model, x)
    assert any(model.profiled)


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_the_profiler_changes_no_prediction_and_sees_every_layer(design: Design) -> None:
    network, x = design.build().eval(), torch.rand(8, *design.image)
    before = profiling.call(network, x)
    profiling.record(leaves(network))
    times, _ = profiling.profile_calls(network, x)
    operators, layers = (times.dropna(subset=name) for name in ("operator", "layer"))
    assert torch.equal(profiling.call(network, x), before)
    assert set(layers["layer"]) == {layer.layer for layer in layer_table(design)}
    assert (layers["seconds"] > 0).all()
    calls = operators.set_index("operator")["calls"]
    assert calls["aten::addmm"] == sum(isinstance(m, nn.Linear) for m in network.modules())
    assert calls.index.str.startswith("aten::").all()


def test_layers_of_a_variant_that_wraps_the_network_are_one() -> None:
    plan = Plan("cpu", ["channels-last", "bfloat16"], [1, 4], [1], calls=1, seconds=0.01)
    names = [layer.layer for layer in layer_table(LENET5)]
    for variant, expected in zip(plan.variants, (names, ["all"]), strict=True):
        profile = profiling.measure(LENET5.build(), LENET5, variant, plan)
        assert profile.times["layer"].dropna().unique().tolist() == expected


def test_variants_predict_the_same_or_nearly() -> None:
    torch.manual_seed(0)
    x = torch.rand(4, 1, 28, 28)
    network = LENET5.build().eval()
    expected = profiling.call(network, x)
    for name, tolerance in (("plain", 0), ("channels-last", 1e-5), ("bfloat16", 0.05)):
        again = LENET5.build().eval()
        again.load_state_dict(network.state_dict())
        scores = profiling.call(VARIANTS[name](again), x)
        assert scores.dtype == torch.float32
        torch.testing.assert_close(scores, expected, rtol=0, atol=tolerance)


def test_the_reason_for_a_missing_variant_is_reported() -> None:
    with pytest.raises(LabError, match="no convolutions"):
        VARIANTS["channels-last"](mlp_design(30).build())


def test_a_measuring_process_that_fails_has_one_line() -> None:
    pid = "str(__import__('os').getpid())"
    fails = f"(_ for _ in ()).throw(ValueError({pid} + '\\nand that'))"
    raised, exited = in_fresh_processes(eval, [(fails,), ("__import__('os')._exit(7)",)], jobs=2)
    assert isinstance(raised, LabError) and isinstance(exited, LabError)
    assert str(exited).startswith("the measuring process ended without a result: perhaps")
    kind, number = str(raised).split(": ")
    assert kind == "ValueError"
    assert int(number) != os.getpid()


def test_the_pareto_front() -> None:
    cost, error = np.array([3.0, 1.0, 2.0, 2.5, 2.0]), np.array([1.0, 5.0, 4.0, 4.5, 3.0])
    assert figures.pareto(cost, error) == [1, 4, 0]
