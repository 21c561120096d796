"""How many runs are trained at once: cores, also in a container."""

import math
from pathlib import Path

import pytest

from common.training.device import cores, quota

QUOTAS = {
    "version 2": ({"cpu.max": "200000 100000\n"}, 2.0),
    "version 2, half a core": ({"cpu.max": "50000 100000\n"}, 0.5),
    "version 2, no limit": ({"cpu.max": "max 100000\n"}, math.inf),
    "version 1": ({"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1.5),
    "version 1, no limit": (
        {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
        math.inf,
    ),
    "none": ({}, math.inf),
    "half": ({"cpu/cpu.cfs_quota_us": "150000\n"}, math.inf),
    "no number": ({"cpu.max": "many 100000\n"}, math.inf),
}


@pytest.mark.parametrize(("contents", "expected"), QUOTAS.values(), ids=QUOTAS)
def test_the_quota_of_a_container_is_read(
    tmp_path: Path, contents: dict[str, str], expected: float
) -> None:
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert quota(tmp_path) == expected


def test_a_quota_bounds_the_runs_at_once(tmp_path: Path) -> None:
    visible = cores(tmp_path)
    assert visible >= 1
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert cores(tmp_path) == 1
    (tmp_path / "cpu.max").write_text("6400000 100000\n")
    assert cores(tmp_path) == visible
