"""The tree of commands."""

from __future__ import annotations

import platform
from typing import Annotated

import typer

from pyslm import __version__
from pyslm.cli import bench, doctor, files, foundry, keys, perplexity, run, serve, service, text

__all__ = ["build_app"]


def build_app() -> typer.Typer:
    """All verbs, in the order in which a new user meets them."""
    app = typer.Typer(
        name="pyslm",
        help="Run small language models from GGUF files, on the CPU you have.",
        epilog="[dim]Begin with[/dim]  pyslm run MODEL.gguf",
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(_root)
    for panel, verbs in (
        ("Use a model", (run.run, text.embed, text.tokenize)),
        ("Serve it to others", (serve.serve,)),
        ("Look at it and measure it", (files.inspect, perplexity.perplexity, bench.bench)),
        ("Make model files", (files.convert, files.quantize)),
        ("This machine", (doctor.doctor,)),
    ):
        for verb in verbs:
            app.command(rich_help_panel=panel)(verb)
    for group in (service.service_app, keys.keys_app, foundry.foundry_app):
        app.add_typer(group, rich_help_panel="Serve it to others")
    return app


def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        print(f"pyslm {__version__} (Python {platform.python_version()}, {platform.machine()})")
    elif context.invoked_subcommand is None:
        print(context.get_help())
