"""Write REPORT.md from the results, or verify that all results agree.

    python -m common.report                      write REPORT.md
    python -m common.report --check              verify tables, figures, report and networks
    python -m common.report --check --retrain 3  also train three random runs again

--check trains nothing and writes nothing. It takes about two minutes. Without MNIST and CIFAR-10
in the data folder, it does not test the saved networks, and says so.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from common import ROOT, LabError, UsageError, cli
from common.console import print_table, wrapped
from common.report import check, redraw
from common.report.check import Check
from common.report.fill import TEMPLATE, fill
from common.results.files import replacing
from common.settings import folder

REPORT = ROOT / "REPORT.md"


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Write the report or verify everything; LabError if something is wrong."""
    parser = cli.Parser(__doc__)
    parser.prog = "python -m common.report"
    add = parser.add_argument
    add("--check", action="store_true", help="verify everything; write nothing")
    add("--retrain", type=cli.number(int, 1), metavar="N", help="train N random short runs again")
    add("--data-dir", metavar="DIR", help=cli.DATA_DIR_HELP)
    args = parser.parse_args(argv)
    if args.retrain and not args.check:
        raise UsageError("--retrain needs --check")
    if not args.check:
        with replacing(REPORT) as temporary:
            text = fill(ROOT / "results", TEMPLATE.read_text(encoding="utf-8"))
            temporary.write_text(text, encoding="utf-8", newline="\n")
        print(f"report:  {REPORT.name}")
        return 0
    data_dir = folder(args.data_dir or os.environ.get("LAB_DATA_DIR"), ROOT / "data")
    print("verifying, for some two minutes", flush=True)
    checks = list(all_checks(data_dir, args.retrain or 0))
    print_table(
        [
            {
                "statement": one.what,
                "verified": one.verified,
                "false": len(one.problems),
                "not verified": len(one.skipped),
            }
            for one in checks
        ]
    )
    problems = [problem for one in checks for problem in one.problems]
    for title, lines in {
        "false": problems,
        "not verified": [reason for one in checks for reason in one.skipped],
    }.items():
        for line in lines:
            print(wrapped(f"{title}: {line.replace(f'{ROOT}{os.sep}', '')}"))
    if problems:
        raise LabError(f"{len(problems)} statements are false: see above")
    return 0


def all_checks(data_dir: Path, retrain: int) -> Iterator[Check]:
    """Every check of the repository; some use a temporary folder."""
    results, figures, report = ROOT / "results", ROOT / "figures", ROOT / "REPORT.md"
    scripts = redraw.commands((ROOT / "README.txt").read_text(encoding="utf-8"))
    yield from check.runs_agree(results)
    yield check.report_agrees(results, report)
    yield check.networks_agree(results, data_dir)
    with tempfile.TemporaryDirectory() as scratch:
        yield from redraw.recomputed(results, figures, data_dir, scripts, Path(scratch))
    yield check.unverified(results)
    if retrain:
        with tempfile.TemporaryDirectory() as scratch:
            yield check.retrained(results, data_dir, retrain, Path(scratch))


if __name__ == "__main__":
    sys.exit(main())
