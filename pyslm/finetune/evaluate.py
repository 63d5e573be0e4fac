"""Prints how well a model does agent work: python -m pyslm.finetune.evaluate MODEL.gguf"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pyslm import LLM
from pyslm.errors import PyslmError
from pyslm.finetune.evaluation import Report, evaluate, held_out_cases
from pyslm.finetune.evaluation.cases import MEASURES, SETS

__all__ = ["main", "table"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pyslm.finetune.evaluate", description=__doc__)
    parser.add_argument("model", help="a GGUF file")
    parser.add_argument("--set", choices=SETS, default=SETS[0], help="of the cases")
    parser.add_argument("--seed", type=int, default=0, help="which values and tools come together")
    parser.add_argument("--rounds", type=int, default=3, help="how often each case comes")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--max-tokens", type=int, default=200, help="of an answer")
    parser.add_argument("--wrong", type=int, default=0, help="wrong answers to show by measure")
    parser.add_argument("--json", action="store_true", help="the numbers as JSON")
    parser.add_argument("--free-only", action="store_true", help="not with the grammar")
    given = parser.parse_args(arguments)
    try:
        with LLM(given.model, threads=given.threads) as llm:
            cases = held_out_cases(given.seed, given.rounds, given.set)
            modes = (False,) if given.free_only else (True, False)
            reports = [
                evaluate(llm, cases, constrained=mode, max_tokens=given.max_tokens)
                for mode in modes
            ]
    except PyslmError as error:
        print(error, file=sys.stderr)
        return 1
    console = Console()
    if given.json:
        console.print_json(json.dumps(_numbers(reports)))
    else:
        console.print(table(reports))
    for measure in MEASURES if given.wrong else ():
        _show_wrong(console, reports[-1], measure, given.wrong)
    return 0


def _column(report: Report) -> str:
    return "constrained" if report.constrained else "free"


def _numbers(reports: Sequence[Report]) -> dict[str, dict[str, list[int]]]:
    return {
        _column(report): {measure: list(share) for measure, share in report.shares().items()}
        for report in reports
    }


def table(reports: Sequence[Report]) -> Table:
    """For people: a row for each measure."""
    shown = Table(title=Path(reports[0].model).name)
    shown.add_column("held-out cases that are right")
    shown.add_column("wanted", justify="right")
    for report in reports:
        shown.add_column(_column(report), justify="right")
    shares = [report.shares() for report in reports]
    for measure, wanted in MEASURES.items():
        cells = [
            f"{good / total:.1%} of {total}" if total else "none" for good, total in
            (share[measure] for share in shares)
        ]  # fmt: skip
        shown.add_row(measure, f"{wanted:.0%}", *cells)
    return shown


def _show_wrong(console: Console, report: Report, measure: str, count: int) -> None:
    for outcome in report.wrong(measure)[:count]:
        case = outcome.case
        wanted = case.exact or case.calls or case.must or "no call"
        console.print(f"{measure}: {case.messages[-1]['content']}", markup=False)
        console.print(f"   wanted {wanted}", markup=False)
        console.print(f"   got    {outcome.answer.calls or outcome.answer.text!r}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
