"""The models that can be asked for by name."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from pyslm._native import GGUFReader
from pyslm.chat.reasoning import detect_reasoning
from pyslm.errors import InvalidRequestError, ModelNameError, ModelNotFoundError, PyslmError
from pyslm.hub import ModelStore, StoredModel, resolve
from pyslm.hub.embedded import default_model
from pyslm.inspect_model import ModelSummary, inspect_model
from pyslm.model_info import check_model_path
from pyslm.serve.infill import find_infill
from pyslm.serve.protocol.error import ServeError
from pyslm.serve.protocol.model import ModelCard

__all__ = ["Catalog", "plain_name", "read_card", "variant_id"]

Capability = Literal["completion", "tools", "insert", "embedding", "thinking"]
_ENCODERS = ("bert", "nomic-bert", "modern-bert", "jina-bert-v2", "jina-bert-v3")


_VARIANT = re.compile(r"-generic-cpu(:\d+)?$")


class Catalog:
    """Models named at the start of the server and, where it is told to, all of this machine's.

    Clients choose among these; what they send is never taken for a path of the file system, unless
    it is one that the server was started with.
    """

    def __init__(
        self,
        models: Sequence[str],
        served_names: Sequence[str] = (),
        adapters: Mapping[str, str] | None = None,
        store: ModelStore | None = None,
        aliases: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Reads no file yet.

        Args:
            models: paths of GGUF files, or names of models on this machine.
            served_names: names of the first in place of its file's.
            adapters: LoRA adapters of the first, as name -> path.
            store: models that may be asked for besides these; where none of these is named, the
                one that comes with the package is the default.
            aliases: of any of `models`: its path or name there -> names, as `served_names`.
        """
        self._models = tuple(models)
        self._served_names = tuple(served_names)
        self._adapters = dict(adapters or {})
        self._store = store
        self._aliases = dict(aliases or {})
        self._stored: dict[str, ModelCard] = {}
        """Of the store's models that were asked for or listed: path -> card."""
        self._cards: dict[str, ModelCard] = {}
        self._by_name: dict[str, ModelCard] = {}

    async def open(self) -> list[ModelCard]:
        """Reads the metadata of all files; gives their cards.

        Raises:
            PyslmError: one of them is missing or not sound.
        """
        cards = []
        for position, model in enumerate(self._models):
            names = self._served_names if position == 0 else ()
            names = names or tuple(self._aliases.get(model, ()))
            cards.append(await asyncio.to_thread(_named_card, model, names))
            self.add(cards[-1])
        for name, path in self._adapters.items():
            self._add_adapter(name, path, cards)
        return cards

    def _add_adapter(self, name: str, path: str, models: Sequence[ModelCard]) -> None:
        if not models:
            raise InvalidRequestError(f"the adapter {name!r} needs a model; name one to serve")
        if name in self._by_name:
            raise InvalidRequestError(f"the adapter's name {name!r} is taken; give it another")
        self.add(_adapter_card(name, path, models[0]))

    def adapters_of(self, model: ModelCard) -> dict[str, str]:
        """The LoRA adapters of a model: name to path."""
        cards = self._cards.values()
        return {card.id: str(card.path) for card in cards if card.parent == model.id}

    def add(self, card: ModelCard) -> None:
        """Makes a model known; a name that is taken stays with its first bearer."""
        self._cards.setdefault(card.id, card)
        for name in (card.id, *card.aliases):
            self._by_name.setdefault(name, card)

    def _default(self) -> str:
        """The model of requests that name none, where it is not the first; "": none."""
        return "" if self._models or self._store is None else default_model() or ""

    async def learn(self, name: str) -> None:
        """Looks for a model in the store, so that `find` knows it, or knows that it is gone."""
        name = name or self._default()
        if self._store is None or not name:
            return
        card = self._by_name.get(name)
        if card is not None and str(card.path) not in self._stored:
            return  # named at the start
        if card is not None and await asyncio.to_thread(card.path.is_file):
            return
        self._forget(name)
        plain = plain_name(name)
        try:
            stored = await asyncio.to_thread(self._store.find, plain)
            self._know(await asyncio.to_thread(self._stored_card, stored), name)
        except (ModelNameError, ModelNotFoundError):
            if plain != name:  # of a name with letters that Foundry's ids have not
                await self.learn_all()

    async def learn_all(self) -> None:
        """Looks for all models of the store."""
        if self._store is None:
            return
        there = await asyncio.to_thread(self._store.list)
        names = {stored.name for stored in there}
        gone = [c.id for c in self._cards.values() if str(c.path) in self._stored]
        for name in gone:
            if name not in names:
                self._forget(name)
        for stored in there:
            try:
                card = await asyncio.to_thread(self._stored_card, stored)
            except PyslmError:  # one damaged file hides no other
                continue
            self._know(card)

    def _stored_card(self, stored: StoredModel) -> ModelCard:
        path = str(stored.path.resolve())
        card = self._stored.get(path)
        if card is None or card.created != int(stored.path.stat().st_mtime):
            card = self._stored[path] = read_card(stored.path, [stored.name])
        variant = variant_id(stored.name)
        aliases = (variant, variant.rpartition(":")[0])
        return msgspec.structs.replace(card, id=stored.name, aliases=aliases)

    def _know(self, card: ModelCard, *names: str) -> None:
        own = self._cards.setdefault(card.id, card)
        for name in (own.id, *own.aliases, *names):
            self._by_name.setdefault(name, own)

    def _forget(self, name: str) -> None:
        card = self._by_name.get(name)
        if card is None or str(card.path) not in self._stored:
            return
        self._cards.pop(card.id, None)
        for known in [known for known, of in self._by_name.items() if of.id == card.id]:
            del self._by_name[known]

    def cards(self) -> list[ModelCard]:
        """All of them, the default one first."""
        default = self._default()
        return sorted(self._cards.values(), key=lambda card: card.id != default)

    def find(self, name: str) -> ModelCard:
        """What a client means by a name; "" is the default model.

        Raises:
            ServeError: "model_not_found".
        """
        name = name or self._default()
        if not name and self._cards:
            return next(iter(self._cards.values()))
        for spelling in (name, name.removesuffix(":latest")):
            card = self._by_name.get(spelling)
            if card is not None:
                return card
        known = ", ".join(list(self._cards)[:10]) or "none"
        more = "; `pyslm pull` brings more" if self._store is not None else ""
        raise ServeError(
            "model_not_found",
            f"The model {name[:200]!r} does not exist here; this server has: {known}{more}",
            param="model",
        )


def variant_id(name: str) -> str:
    """What Foundry Local's clients call a model: its name, the device and a version."""
    plain = "".join(c if c.isalnum() or c in "-._" else "-" for c in name)
    return f"{plain}-generic-cpu:1"


def _named_card(model: str, names: Sequence[str]) -> ModelCard:
    """Of a path, or of a name of this machine's."""
    path = resolve(model)
    return read_card(path, names or (() if os.fspath(path) == model else [model]))


def plain_name(name: str) -> str:
    """A name without what `variant_id` adds."""
    return _VARIANT.sub("", name)


def read_card(model: str | os.PathLike[str], names: Sequence[str] = ()) -> ModelCard:
    """The card of a GGUF file, from its metadata.

    Args:
        names: the id and further names; none: the file's own name.
    """
    path = check_model_path(model)
    summary = inspect_model(path)
    stem = path.name.removesuffix(".gguf")
    ident = names[0] if names else stem
    variant = variant_id(ident)
    aliases = [*names, stem, path.name, os.fspath(model), variant, variant.rpartition(":")[0]]
    return ModelCard(
        id=ident,
        aliases=tuple(dict.fromkeys(name for name in aliases if name != ident)),
        path=path.resolve(),
        created=int(path.stat().st_mtime),
        size_bytes=summary.file_bytes,
        architecture=summary.architecture,
        file_type=max(summary.types, key=lambda name: summary.types[name].bytes, default="F32"),
        num_parameters=summary.parameters,
        trained_context_length=summary.context_length or 0,
        capabilities=_capabilities(summary, can_insert=_has_infill(path)),
    )


def _adapter_card(name: str, path: str, model: ModelCard) -> ModelCard:
    file = check_model_path(path)
    about = file.stat()
    return msgspec.structs.replace(
        model,
        id=name,
        aliases=(variant_id(name),),
        path=file.resolve(),
        created=int(about.st_mtime),
        size_bytes=about.st_size,
        parent=model.id,
    )


def _has_infill(path: Path) -> bool:
    tokens = GGUFReader(path).get("tokenizer.ggml.tokens", None)
    known = {token: i for i, token in enumerate(tokens)} if isinstance(tokens, list) else {}
    return find_infill(known.get) is not None


def _capabilities(summary: ModelSummary, *, can_insert: bool) -> tuple[Capability, ...]:
    if summary.architecture in _ENCODERS:
        return ("embedding",)
    template = summary.metadata.get("tokenizer.chat_template")
    found: list[Capability] = ["completion"]
    found += ["insert"] if can_insert else []
    if isinstance(template, str) and template:
        found.append("tools")  # where it knows of none, we write them into the messages
        if detect_reasoning(template) or "<|channel|>" in template:
            found.append("thinking")
    return tuple(found)
