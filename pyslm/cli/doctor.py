"""`pyslm doctor`: this machine, as pyslm sees it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
from typing import Annotated, Any

import psutil
import typer
from rich.table import Table

from pyslm import __version__
from pyslm.cli.console import JsonOption, output_console
from pyslm.weight_cache import cache_directory

__all__ = ["doctor", "report"]

_LIBRARIES = ("numpy", "gguf", "tokenizers", "jinja2", "typer", "rich")


def doctor(
    as_json: JsonOption = False,
    verify_cache: Annotated[
        bool, typer.Option("--verify-cache", help="Check all packed weights; remove damaged ones.")
    ] = False,
) -> None:
    """Report what pyslm runs on: processor, kernels in use, memory, versions.

    Paste this into a bug report. PYSLM_ISA=avx2 (or another tier) forces the kernels of one tier.
    """
    facts = report()
    if verify_cache:
        facts["packed_weights"] = _verified_cache()
    if as_json:
        json.dump(facts, sys.stdout, indent=2)
        print()
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), _shown(value))
    output_console().print(table)
    if "error" in facts["kernels"]:
        raise typer.Exit(1)


def report() -> dict[str, Any]:
    """All facts, as plain values."""
    memory = psutil.virtual_memory()
    return {
        "pyslm": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "processor": _processor(),
        "kernels": _kernels(),
        "threads": _threads(),
        "memory": {
            "total_gib": round(memory.total / 2**30, 1),
            "available_gib": round(memory.available / 2**30, 1),
        },
        "cache": str(cache_directory()),
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "settings": {k: v for k, v in sorted(os.environ.items()) if k.startswith("PYSLM_")},
    }


def _verified_cache() -> dict[str, str]:
    """File name -> "sound, 525 MB", or what is wrong with it."""
    from pyslm import _native

    return {
        name: problem or f"sound, {num_bytes / 1e6:,.0f} MB"
        for name, num_bytes, problem in _native.verify_weight_cache(cache_directory(), remove=True)
    }


def _kernels() -> dict[str, Any]:
    """Tier in use, tiers compiled and supported; or the error that keeps the core from loading."""
    try:
        from pyslm import _native
    except ImportError as error:
        return {"error": f"the native core does not load: {error}"}
    return dict(_native.isa_info())


def _threads() -> dict[str, int | None]:
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "physical_cores": psutil.cpu_count(logical=False),
        "logical_cores": psutil.cpu_count(),
        "usable": len(affinity(0)) if affinity else os.cpu_count(),
    }


def _processor() -> str:
    """The model's name where the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k.replace('_', ' ')} {_shown(v)}" for k, v in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "none"
    return str(value)
