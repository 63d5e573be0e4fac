"""The models that are known by name: pyslm/hub/catalog.toml, and the user's own file."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import os
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from pyslm.errors import InvalidRequestError, ModelNameError
from pyslm.hub.names import HubName, parse_name
from pyslm.hub.quants import bits_per_weight, canonical_quant, is_quant

__all__ = ["CatalogModel", "ModelCatalog", "Role", "Variant", "user_catalog_path"]

Role = Literal["chat", "code", "embed", "rerank", "reasoning"]


@dataclasses.dataclass(frozen=True, slots=True)
class Variant:
    """One quantization of a model."""

    quant: str
    size_bytes: int
    is_exact: bool = False
    """False: reckoned from the number of parameters."""
    file: str | None = None
    """Its path in the repository, where that is known."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CatalogModel:
    """A model of the catalog."""

    name: str
    """As Ollama names it, with the shortest tag: "qwen2.5:0.5b"."""
    title: str
    tags: tuple[str, ...]
    """Tags of `name`'s family that mean this model, a quantization may follow; "latest" is the
    family's own name."""
    aliases: tuple[str, ...] = ()
    repository: str
    """On Hugging Face."""
    file: str
    """With {quant}; upper and lower case are the same."""
    parameters: int
    context_length: int
    variants: tuple[Variant, ...]
    roles: tuple[Role, ...]
    supports_tools: bool = False
    license: str
    publisher: str

    @property
    def alias(self) -> str:
        """One word for it, as Foundry Local has them."""
        return self.aliases[0] if self.aliases else self.name.replace(":", "-")

    @property
    def family(self) -> str:
        """The part of `name` before the colon."""
        return self.name.partition(":")[0]

    def variant(self, quant: str) -> Variant | None:
        """The one of a quantization."""
        wanted = canonical_quant(quant)
        return next((v for v in self.variants if v.quant == wanted), None)

    def file_name(self, quant: str) -> str:
        """Of a quantization, but for upper and lower case."""
        return self.file.replace("{quant}", quant)

    def quant_of(self, name: str) -> str | None:
        """What follows one of this model's names: None where nothing does.

        Raises:
            KeyError: the name is not this model's.
        """
        low = name.lower().removeprefix("library/")
        tagged = [f"{self.family}:{tag}" for tag in self.tags]
        plain = [*self.aliases, *([self.family] if "latest" in self.tags else [])]
        for own in (*tagged, *plain):
            if low == own:
                return None
            quant = low.removeprefix(own)[1:]
            joint = low[len(own) : len(own) + 1]
            if low.startswith(own) and joint in ("-", ":") and is_quant(quant):
                return canonical_quant(quant)
        raise KeyError(name)


class ModelCatalog:
    """All of them, the user's own first."""

    def __init__(self, models: Iterable[CatalogModel]) -> None:
        self.models = tuple(models)

    @classmethod
    def load(cls) -> ModelCatalog:
        """The package's own, after what the user's file adds (PYSLM_CATALOG, else catalog.toml in
        the user's folder of settings).

        Raises:
            InvalidRequestError: the user's file is not sound.
        """
        path = user_catalog_path()
        if path.is_file():
            return cls((*_user_models(path), *_own_models()))
        if os.environ.get("PYSLM_CATALOG"):
            raise InvalidRequestError(f"PYSLM_CATALOG names {path}, which is not a file")
        return cls(_own_models())

    def find(self, name: str) -> tuple[CatalogModel, str | None] | None:
        """The model that a name means, and the quantization where it says one."""
        for model in self.models:
            try:
                return model, model.quant_of(name)
            except KeyError:
                continue
        return None

    def similar(self, name: str, others: Iterable[str] = ()) -> list[str]:
        """Names that may have been meant, of the catalog's and `others`."""
        known = {own for model in self.models for own in (model.name, *model.aliases)}
        known |= {model.family for model in self.models} | set(others)
        return difflib.get_close_matches(name.lower(), sorted(known), n=3, cutoff=0.6)


def user_catalog_path() -> Path:
    """Where the user may add models; the file need not exist."""
    chosen = os.environ.get("PYSLM_CATALOG")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_config_dir("pyslm")) / "catalog.toml"


@functools.cache
def _own_models() -> tuple[CatalogModel, ...]:
    text = resources.files("pyslm.hub").joinpath("catalog.toml").read_text("utf-8")
    return tuple(_models(tomllib.loads(text), "the catalog"))


def _user_models(path: Path) -> list[CatalogModel]:
    try:
        return _models(tomllib.loads(path.read_text("utf-8")), str(path))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidRequestError(f"{path} cannot be read: {error}") from None


def _models(document: Mapping[str, Any], source: str) -> list[CatalogModel]:
    entries = document.get("model", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidRequestError(f"{source}: 'model' must be a list of tables ([[model]])")
    return [_model(entry, source) for entry in entries]


def _model(entry: Mapping[str, Any], source: str) -> CatalogModel:
    name = entry.get("name")
    where = f"{source}, model {name!r}"
    try:
        family, _, tag = str(entry["name"]).lower().partition(":")
        parameters = int(entry["parameters"])
        tags = tuple(str(tag).lower() for tag in entry.get("tags", ())) or (tag or "latest",)
        model = CatalogModel(
            name=f"{family}:{tag}" if tag else family,
            title=str(entry.get("title", name)),
            tags=tags,
            aliases=tuple(str(alias).lower() for alias in entry.get("aliases", ())),
            repository=str(entry["repository"]),
            file=str(entry["file"]),
            parameters=parameters,
            context_length=int(entry.get("context", 4096)),
            variants=tuple(_variants(entry.get("variants", ["Q4_K_M"]), parameters)),
            roles=tuple(entry.get("roles", ["chat"])),
            supports_tools=bool(entry.get("tools", False)),
            license=str(entry.get("license", "")),
            publisher=str(entry.get("publisher", "")),
        )
    except (KeyError, TypeError, ValueError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise InvalidRequestError(f"{where}: {what}") from None
    _check(model, where)
    return model


def _variants(given: Any, parameters: int) -> Iterable[Variant]:
    """A list of quantizations, or a table of them with their bytes."""
    if isinstance(given, dict):
        for quant, size in given.items():
            yield Variant(canonical_quant(quant), int(size), is_exact=True)
        return
    for quant in map(canonical_quant, given):
        bits = bits_per_weight(quant)
        if bits is None:
            raise ValueError(f"the variant {quant!r} is not known")
        yield Variant(quant, int(parameters * bits / 8))


def _check(model: CatalogModel, where: str) -> None:
    unknown = [role for role in model.roles if role not in get_args(Role)]
    if unknown:
        raise InvalidRequestError(f"{where}: role {unknown[0]!r}; allowed: {get_args(Role)}")
    if not model.variants or ("{quant}" not in model.file and len(model.variants) > 1):
        raise InvalidRequestError(f"{where}: 'file' needs {{quant}}, and 'variants' an entry")
    try:
        for name in (model.name, *model.aliases, f"hf:{model.repository}"):
            parsed = parse_name(name)
            if isinstance(parsed, HubName) != name.startswith("hf:"):
                raise ModelNameError(f"{name!r} is a name of Hugging Face's")
    except ModelNameError as error:
        raise InvalidRequestError(f"{where}: {error}") from None
