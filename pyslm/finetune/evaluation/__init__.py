"""How well a model does agent work, on a held-out set."""

from pyslm.finetune.evaluation.cases import Case, held_out_cases
from pyslm.finetune.evaluation.evaluate import Report, evaluate

__all__ = ["Case", "Report", "evaluate", "held_out_cases"]
