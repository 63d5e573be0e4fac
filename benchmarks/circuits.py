"""How far circuits alone choose the right tool and the right agent of the held-out cases.

    python benchmarks/circuits.py

A fresh model of the preset `nano`, which has learned nothing: of the tools' names, or the agents',
the one whose first token it finds likeliest. Needs the extra `train`.
"""

from __future__ import annotations

import collections
import json
import sys

import numpy as np
import torch

from pyslm.finetune.circuits import give_circuits
from pyslm.finetune.config import preset
from pyslm.finetune.dialect import CALL, Piece, write_messages, write_prefix
from pyslm.finetune.evaluation import Case, held_out_cases
from pyslm.finetune.model import Nano, attention_mask
from pyslm.finetune.packing import encode_pieces
from pyslm.finetune.vocabulary import NanoVocabulary

SEED = 0


def fresh_model(vocabulary: NanoVocabulary) -> Nano:
    """With meanings and circuits, as a training begins."""
    torch.manual_seed(SEED)
    model = Nano(preset("nano")[0])
    model.give_meanings(torch.from_numpy(vocabulary.meanings()))
    give_circuits(model, torch.from_numpy(vocabulary.information()), SEED)
    return model


@torch.no_grad()
def is_found(model: Nano, vocabulary: NanoVocabulary, case: Case) -> bool:
    """Whether the first token of the right name is likelier than those of the others."""
    *system, user = case.messages
    pieces = [*write_prefix(system[0]["content"] if system else None, case.tools)]
    pieces += [*write_messages((user,)), Piece("<|assistant|>", True, True)]
    names = list(case.choices) or [tool["function"]["name"] for tool in case.tools]
    if not case.choices:
        pieces.append(Piece(CALL, True, True))
    ids = torch.tensor([encode_pieces(vocabulary, pieces)[0]])
    zeros = torch.zeros_like(ids)
    position = torch.arange(ids.shape[1])[None]
    hidden, _, _ = model(ids, position, attention_mask(zeros, zeros))
    first = [tokens[0] for tokens in vocabulary.encode(names)]
    chosen = int(model.logits(hidden[0, -1])[first].argmax())
    return names[chosen] == (case.exact if case.choices else case.calls[0][0])


def main() -> int:
    """Prints measure -> share that is found, as JSON."""
    vocabulary = NanoVocabulary.train(preset("nano")[0].vocab_size, seed=SEED)
    model = fresh_model(vocabulary)
    found: dict[str, list[bool]] = collections.defaultdict(list)
    for case in held_out_cases(rounds=1):
        if case.measure in ("tool, shared words", "tool, paraphrased", "routing"):
            found[case.measure].append(is_found(model, vocabulary, case))
    print(json.dumps({measure: round(float(np.mean(each)), 3) for measure, each in found.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
