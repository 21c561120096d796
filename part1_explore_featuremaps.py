"""Part 1: what do more feature maps do for the tutorial's network?

python part1_explore_featuremaps.py         more maps in C1 or in C3: 7 designs
python part1_explore_featuremaps.py --grid  all 16 combinations

With two epochs, the widest network (12-28) reaches 58.81 %, the baseline
(6-16) 54.72 %. 12 maps of C1 (57.09 %) help as much as 28 of C3 (56.86 %),
with far fewer parameters. With the recipe tuned, 12-16 reaches 78.39 %, 6-28
78.02 % and 6-16 75.88 %.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from common import cli, exploration
from common.experiment import Experiment, Tables
from common.models.networks import cifar_design
from common.plots.accuracy import accuracy_by_design
from common.plots.factors import accuracy_by_size

C1, C3 = (6, 8, 10, 12), (16, 20, 24, 28)  # feature maps


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Explore the feature maps."""
    parser = exploration.parser(__doc__)
    parser.add_argument("--grid", action="store_true", help="all combinations of C1 and C3")
    args = parser.parse_args(argv)
    network = exploration.baseline(args)
    baseline = (network["c1"], network["c3"])
    if args.grid:
        pairs = {(c1, c3) for c1 in C1 for c3 in C3}
    else:
        pairs = {(c1, baseline[1]) for c1 in C1} | {(baseline[0], c3) for c3 in C3}
    designs = [
        cifar_design(f"{c1}-{c3}", **{**network, "c1": c1, "c3": c3})
        for c1, c3 in sorted(pairs | {baseline})
    ]
    labels = ["grid"] if args.grid else []
    lab = exploration.experiment(
        Path(__file__).stem, args, designs, "{}-{}".format(*baseline), *labels
    )
    return lab.run(report_grid if args.grid else report)


def report(lab: Experiment, tables: Tables) -> None:
    """Compare the widths, and draw."""
    lab.compare(tables)
    lab.figure("accuracy", accuracy_by_design(tables.runs, lab.baseline))
    exploration.figure_of_curves(lab, tables)
    runs = tables.converged
    if not runs.empty:
        varied = [column for column in ("c1", "c3") if runs[column].nunique() > 1]
        lab.figure("size", accuracy_by_size(runs, varied))


def report_grid(lab: Experiment, tables: Tables) -> None:
    """`report`, and the share of the variance that each factor of the grid explains."""
    report(lab, tables)
    if not tables.converged.empty:
        lab.grid(tables.converged, {"c1": "feature maps of C1", "c3": "feature maps of C3"})


if __name__ == "__main__":
    sys.exit(main())
