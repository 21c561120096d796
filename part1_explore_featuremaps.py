"""Part 1: what do more feature maps do for the tutorial's network?

python part1_explore_featuremaps.py           C1 or C3 varied from 6-16: 7 designs, 3 seeds
python part1_explore_featuremaps.py --grid    all 16 combinations
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from common import cli, exploration
from common.models import cifar_design

EXPERIMENT = Path(__file__).stem
C1, C3 = (exploration.FACTORS[name].levels for name in ("C1 maps", "C3 maps"))


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Explore the feature maps."""
    parser = exploration.parser(__doc__)
    parser.add_argument("--grid", action="store_true", help="all combinations of C1 and C3")
    options = exploration.parse(parser, argv)
    baseline = (options.c1, options.c3)
    if options.grid:
        pairs = {(c1, c3) for c1 in C1 for c3 in C3}
        options.label += "-grid"
    else:
        pairs = {(c1, options.c3) for c1 in C1} | {(options.c1, c3) for c3 in C3}
    designs = [
        cifar_design(f"{c1}-{c3}", c1, c3, options.layers, options.activation)
        for c1, c3 in sorted(pairs | {baseline})
    ]
    return exploration.explore(EXPERIMENT, parser, options, designs, "{}-{}".format(*baseline))


if __name__ == "__main__":
    sys.exit(main())
