"""What a network begins with instead of chance alone: heads that copy, and heads that choose.

A transformer that reads and copies must find certain circuits before anything else can be learned.
On a small budget that search is dear. Here they are written down; training changes of them what it
likes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pyslm.errors import InvalidRequestError
from pyslm.finetune.circuits.choosing import Choosing
from pyslm.finetune.circuits.copying import Copying
from pyslm.finetune.circuits.protection import Protection
from pyslm.finetune.circuits.writer import RESERVED, Writer
from pyslm.finetune.model import Nano

__all__ = ["Protection", "give_circuits", "has_circuits"]


@torch.no_grad()
def give_circuits(model: Nano, information: Tensor, seed: int) -> None:
    """Writes them into the first four layers.

    Args:
        model: fresh, with its meanings.
        information: how much each token tells of what a text is about, float32 [vocab], 0 to 1.
        seed: of the random subspaces.

    Raises:
        InvalidRequestError: the model has no room for them.
    """
    config = model.config
    width = config.hidden - RESERVED
    if (
        config.layers < 4
        or config.head_dim < 64
        or not config.heads == config.kv_heads >= 4
        or not 3 * config.head_dim <= width <= 4 * config.head_dim
    ):
        raise InvalidRequestError(
            "circuits need 4 layers, 4 heads of 64 channels with keys of their own, and a model as "
            f"wide as 3 to 4 heads and {RESERVED} more; this is {config}"
        )
    writer = Writer(model, seed)
    writer.give_channels(information)
    Copying(writer).write()
    Choosing(writer).write()


def has_circuits(model: Nano) -> bool:
    """Whether a model, perhaps trained since, began with them."""
    return model.config.hidden > RESERVED and Writer(model, 0).is_written()
