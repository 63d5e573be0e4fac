"""The training loop: the same on a CPU and on a GPU."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Sampler

from pyslm.errors import InvalidRequestError
from pyslm.finetune.checkpoint import Checkpoint
from pyslm.finetune.circuits import Protection, give_circuits, has_circuits
from pyslm.finetune.config import ModelConfig, TrainConfig
from pyslm.finetune.data.spec import OwnData
from pyslm.finetune.meter import Meter
from pyslm.finetune.model import Nano, attention_mask
from pyslm.finetune.optimizers import learning_rate_factor, make_optimizers
from pyslm.finetune.packing import Batch, batch_of_step
from pyslm.finetune.vocabulary import NanoVocabulary

__all__ = ["Trainer"]

_PLACES = 128  # their number is a multiple of it: each other one is compiled anew
Report = Callable[[int, dict[str, Any]], None]
"""Called after each step with its number and, each `log_every`, the measurements."""


class _Batches(Dataset[Batch]):
    """Batches by step: any process makes the same."""

    def __init__(
        self, vocabulary: NanoVocabulary, config: TrainConfig, own: OwnData | None
    ) -> None:
        self._vocabulary = vocabulary
        self._config = config
        self._own = own

    def __getitem__(self, step: int) -> Batch:
        return batch_of_step(self._vocabulary, self._config, step, self._own)


class _Steps(Sampler[int]):
    def __init__(self, begin: int, end: int) -> None:
        self._range = range(begin, end)

    def __iter__(self) -> Any:
        return iter(self._range)

    def __len__(self) -> int:
        return len(self._range)


class Trainer:
    """A model in training, with its folder.

    The folder holds `vocabulary.json`, `checkpoint.pt` and `log.jsonl`. A folder with a checkpoint
    goes on where that was written, with the numbers that it was begun with; what comes out is the
    same as without the interruption.
    """

    def __init__(
        self,
        folder: Path,
        model: ModelConfig,
        train: TrainConfig,
        device: str = "cpu",
        vocabulary: NanoVocabulary | None = None,
        start: Mapping[str, Tensor] | None = None,
        own: OwnData | None = None,
    ) -> None:
        """`start` are weights to begin with, of a model with that `vocabulary`; data of
        somebody's `own` come up more often than others."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "checkpoint.pt"
        saved = Checkpoint.load(path) if path.exists() else None
        if saved is not None and saved.model != model:
            raise InvalidRequestError(
                f"{folder} holds a training of another model ({saved.model}); give another folder"
            )
        self.train_config = train
        self.model_config = model
        self.vocabulary = self._vocabulary(vocabulary)
        self._own = own
        self.device = torch.device(device)
        torch.manual_seed(train.seed)
        self.model = Nano(model)
        if start is not None:
            self.model.load_state_dict(dict(start))
        elif saved is None:
            self.model.give_meanings(torch.from_numpy(self.vocabulary.meanings()))
            if train.circuits:
                information = torch.from_numpy(self.vocabulary.information())
                give_circuits(self.model, information, train.seed)
        self.model = self.model.to(self.device)
        self.optimizers = make_optimizers(self.model, train)
        self.step = train.begin
        self.log: list[dict[str, Any]] = []
        if saved is not None:
            self._restore(saved)
        self._protection = Protection(self.model) if has_circuits(self.model) else None
        self._forward: Any = self.model
        self._cross_entropy: Any = self._of_logits
        if train.compiled and _can_compile(self.device):
            self._forward = torch.compile(self.model)
            # What is learned differs from step to step in length: compiled once for all of them.
            self._cross_entropy = torch.compile(self._of_logits, dynamic=True)
        self._autocast = (
            torch.autocast(self.device.type, torch.bfloat16)
            if train.mixed_precision
            else contextlib.nullcontext()
        )

    def _vocabulary(self, given: NanoVocabulary | None) -> NanoVocabulary:
        path = self.folder / "vocabulary.json"
        if path.exists():
            return NanoVocabulary.load(path)
        made = given or NanoVocabulary.train(self.model_config.vocab_size, self.train_config.seed)
        made.save(path)
        return made

    def _restore(self, saved: Checkpoint) -> None:
        self.model.load_state_dict(saved.weights)
        for optimizer, state in zip(self.optimizers, saved.optimizers, strict=True):
            optimizer.load_state_dict(state)
        self.step, self.log = saved.step, list(saved.log)

    # --- steps --------------------------------------------------------------------------------

    def run(
        self,
        report: Report | None = None,
        until: int | None = None,
        workers: int = 0,
        minutes: float | None = None,
    ) -> bool:
        """Trains to the last step, or to `until`, or for so many minutes.

        A checkpoint is written from time to time, at the end, and when Ctrl-C stops it.

        Returns:
            Whether the training is complete.
        """
        config = self.train_config
        loader = DataLoader(
            _Batches(self.vocabulary, config, self._own),
            batch_size=None,
            sampler=_Steps(self.step, config.steps if until is None else min(until, config.steps)),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
        )
        deadline = math.inf if minutes is None else time.monotonic() + 60 * minutes
        meter, saved_at = Meter(), time.monotonic()
        try:
            for batch in loader:
                self._train_step(batch, meter)
                self.step += 1
                entry = self._measure(meter)
                if report is not None:
                    report(self.step, entry)
                if time.monotonic() - saved_at > config.checkpoint_seconds:
                    self.save()
                    saved_at = time.monotonic()
                if time.monotonic() > deadline:
                    break
        finally:
            self.save()
        return self.step >= config.steps

    def _measure(self, meter: Meter) -> dict[str, Any]:
        if self.step % self.train_config.log_every:
            return {}
        entry = {"step": self.step, **meter.take()}
        self.log.append(entry)
        return entry

    def save(self) -> None:
        """Writes checkpoint and log."""
        states = [optimizer.state_dict() for optimizer in self.optimizers]
        Checkpoint(
            self.step,
            self.model_config,
            self.train_config,
            self.model.state_dict(),
            states,
            self.log,
        ).save(self.folder / "checkpoint.pt")
        text = "".join(json.dumps(entry) + "\n" for entry in self.log)
        (self.folder / "log.jsonl").write_text(text, encoding="utf-8")

    def _train_step(self, batch: Batch, meter: Meter) -> None:
        factor = learning_rate_factor(self.train_config, self.step)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * factor
        losses, weights, categories, looks = self._losses(batch)
        loss = (losses * weights).sum() / weights.sum()
        (loss + self.train_config.source_weight * looks).backward()
        self._leave_others(batch)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if self._protection is not None:
            self._protection.restore()
        meter.add(batch, losses.detach(), categories)

    def _leave_others(self, batch: Batch) -> None:
        """Tokens that are not in the batch stay as they are.

        As words that never came they would else be pushed away from all others, a step of full
        length each time, for Adam knows no small ones.
        """
        gradient = self.model.embed_tokens.weight.grad
        assert gradient is not None
        seen = torch.zeros(len(gradient), 1, device=gradient.device)
        seen[self._put(batch.tokens[batch.scene >= 0]).long()] = 1
        gradient.mul_(seen)

    def _losses(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Cross entropy, weight and category of each token that is learned, [learned]; and the mean
        loss of looking elsewhere than at what is copied."""
        tokens, position = self._put(batch.tokens), self._put(batch.position)
        mask = attention_mask(self._put(batch.scene), self._put(batch.branch))
        learned = self._put(batch.weight)[:, :-1] > 0
        places, is_place = (self._put(array) for array in _places(batch))
        with self._autocast:
            # The last layer and the head are a good part of the work: only where it matters.
            hidden, q, k = self._forward(tokens, position, mask, places)
            losses = self._cross_entropy(hidden[is_place], tokens[:, 1:][learned].long())
        weights = self._put(batch.weight)[:, :-1][learned]
        looks = (
            self._looks(batch, q, k, mask) if self.train_config.source_weight else losses.sum() * 0
        )
        return losses, weights, self._put(batch.category)[:, :-1][learned], looks

    def _of_logits(self, hidden: Tensor, targets: Tensor) -> Tensor:
        logits = self.model.logits(hidden).float()
        return functional.cross_entropy(logits, targets, reduction="none")

    def _looks(self, batch: Batch, q: Tensor, k: Tensor, mask: Tensor) -> Tensor:
        """Heads 0 and 2 are to look at what stands before a conversation, heads 1 and 3 at what is
        said in it."""
        losses = []
        # Apart at once: each row taken by its number would cost a gradient as large as all rows'.
        for row, (q_row, k_row, source) in enumerate(
            zip(q.unbind(), k.unbind(), batch.source, strict=True)
        ):
            places = np.nonzero(source >= 0)[0]
            said = batch.branch[row, source[places]] > 0
            for chosen, first in ((places[~said], 0), (places[said], 1)):
                heads = list(range(first, min(4, len(q_row)), 2))
                if not len(chosen) or not heads:
                    continue
                of, targets = self._put(chosen), self._put(source[chosen]).long()
                queries, keys = q_row[heads][:, of].float(), k_row[heads].float()
                scores = queries @ keys.transpose(-1, -2) / math.sqrt(self.model_config.head_dim)
                scores = scores.masked_fill(~mask[row, 0, of], -torch.inf)
                wanted = targets.expand(len(heads), -1).flatten()
                losses.append(
                    functional.cross_entropy(scores.flatten(0, 1), wanted, reduction="none")
                )
        return torch.cat(losses).mean() if losses else q.sum() * 0

    def _put(self, array: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device, non_blocking=True)


def _places(batch: Batch) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Where each row's tokens are from which others are learned, int64 [rows, n], the first of them
    for as many as the row lacks; and whether each is one."""
    learned = batch.weight[:, :-1] > 0
    counts = learned.sum(1)
    most = -(-max(int(counts.max()), 1) // _PLACES) * _PLACES
    order = np.argsort(~learned, axis=1, kind="stable")
    is_place = np.arange(most)[None] < counts[:, None]
    order = np.pad(order, ((0, 0), (0, max(0, most - order.shape[1]))))[:, :most]
    return np.where(is_place, order, 0), is_place


def _can_compile(device: torch.device) -> bool:
    """Whether there is something to compile with; warns where not."""
    compiler = os.environ.get("CXX", "g++")
    if device.type == "cpu" and shutil.which(compiler) is None:
        warnings.warn(
            f"there is no C++ compiler ({compiler}): the model is not compiled, and trains slower",
            stacklevel=2,
        )
        return False
    return True
