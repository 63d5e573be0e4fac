"""How the verbs about models show them to people."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from pyslm.hub import CatalogModel, Choice, StoredModel

__all__ = ["catalog_table", "facts_table", "model_table", "size_text", "variants_table"]


def model_table(models: list[StoredModel]) -> Table:
    """What is on this machine."""
    table = Table(box=None, pad_edge=False)
    for column in ("NAME", "ID"):
        table.add_column(column, no_wrap=True)
    table.add_column("SIZE", justify="right", no_wrap=True)
    for column in ("MODIFIED", "WHERE"):
        table.add_column(column, no_wrap=True)
    for model in models:
        row = (model.name, model.digest[:12] or "-", size_text(model.size_bytes))
        table.add_row(*map(Text, (*row, ago(model.modified), model.origin)))
    return table


def catalog_table(models: list[CatalogModel]) -> Table:
    """What can be pulled by a short name."""
    table = Table(box=None, pad_edge=False)
    table.add_column("NAME", no_wrap=True)
    table.add_column("ALSO", no_wrap=True)
    table.add_column("Q4_K_M", justify="right", no_wrap=True)
    table.add_column("CONTEXT", justify="right", no_wrap=True)
    table.add_column("FOR")
    for model in models:
        usual = model.variant("Q4_K_M") or model.variants[0]
        roles = [*model.roles, *(["tools"] if model.supports_tools else [])]
        size = f"~{size_text(usual.size_bytes)}"
        context = f"{model.context_length:,}"
        table.add_row(*map(Text, (model.name, model.alias, size, context, ", ".join(roles))))
    return table


def facts_table(about: CatalogModel | None, here: StoredModel | None) -> Table:
    """One model, by the catalog or by its file."""
    rows: dict[str, str] = {}
    if about is not None:
        rows = {
            "model": f"{about.title}, {about.publisher}",
            "names": ", ".join((about.name, *about.aliases)),
            "parameters": f"{about.parameters:,}",
            "context": f"{about.context_length:,} tokens",
            "for": ", ".join(about.roles) + (", tools" if about.supports_tools else ""),
            "license": about.license,
            "from": f"https://huggingface.co/{about.repository}",
        }
    elif here is not None:
        rows = _of_file(here)
    if here is None:
        assert about is not None
        rows["here"] = f"no; pyslm pull {about.name}"
    else:
        size = size_text(here.size_bytes)
        rows["here"] = f"{here.name}, {here.quant or 'GGUF'}, {size}, {here.path}"
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in rows.items():
        table.add_row(key, Text(value))
    return table


def _of_file(model: StoredModel) -> dict[str, str]:
    """What the file itself says, of a model that the catalog does not know."""
    from pyslm.hub.embedded import embedded_report
    from pyslm.inspect_model import inspect_model

    summary = inspect_model(model.path)
    context = summary.context_length
    rows = {
        "model": summary.name or model.name,
        "architecture": summary.architecture,
        "parameters": f"{summary.parameters:,}",
        "context": f"{context:,} tokens" if context else "not said",
    }
    report = embedded_report() if model.origin == "package" else None
    if report is not None:
        rows["for"] = "agents: tools, answers from their results, routing; no general chat"
        measures = report["evaluation"]["measures"].items()
        shares = [(name, *measure["constrained"]) for name, measure in measures]
        rows["right"] = ", ".join(f"{name} {n / of:.0%}" for name, n, of in shares if of)
        rows["license"] = report["license"]
    return rows | (
        {"from": f"https://huggingface.co/{model.repository}"} if model.repository else {}
    )


def variants_table(choice: Choice) -> Table:
    """Each variant on this machine; sizes that were reckoned have a ~."""
    table = Table("VARIANT", box=None, pad_edge=False)
    for column in ("SIZE", "MEMORY", "TOKENS/S"):
        table.add_column(column, justify="right")
    table.add_column()
    for candidate in choice.candidates:
        variant = candidate.variant
        mark = "chosen" if variant == choice.variant else "" if candidate.fits else "too large"
        about = "" if variant.is_exact else "~"
        table.add_row(
            variant.quant,
            about + size_text(variant.size_bytes),
            size_text(candidate.needed_bytes),
            f"~{candidate.tokens_per_second:,.0f}",
            mark,
            style="bold" if variant == choice.variant else None,
        )
    return table


def size_text(size: float) -> str:
    """A number of bytes as Ollama shows it: 398 MB, 4.7 GB."""
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def ago(when: float) -> str:
    """ "5 minutes ago"."""
    seconds = max(time.time() - when, 0)
    for unit, length in (("week", 604800), ("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
