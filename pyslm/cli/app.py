"""The tree of commands."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Annotated

import typer

from pyslm import __version__
from pyslm.cli import (
    agent,
    agent_eval,
    agent_examples,
    agent_export,
    agent_mcp,
    audit,
    bench,
    deploy,
    doctor,
    files,
    finetune,
    foundry,
    keys,
    models,
    perplexity,
    run,
    running,
    serve,
    service,
    text,
)
from pyslm.hub.embedded import default_model

__all__ = ["build_app"]


_VERBS: dict[str, dict[str, Callable[..., None]]] = {
    "Use a model": {"run": run.run, "embed": text.embed, "tokenize": text.tokenize},
    "Models": {
        "pull": models.pull,
        "list": models.list_models,
        "show": models.show,
        "rm": models.rm,
        "cp": models.cp,
    },
    "Serve it to others": {
        "serve": serve.serve,
        "ps": running.ps,
        "load": running.load,
        "unload": running.unload,
        "stop": running.stop,
    },
    "Look at it and measure it": {
        "inspect": files.inspect,
        "perplexity": perplexity.perplexity,
        "bench": bench.bench,
    },
    "Make model files": {
        "convert": files.convert,
        "quantize": files.quantize,
        "finetune": finetune.finetune,
    },
    "This machine": {"doctor": doctor.doctor},
}
_OF_MODEL = ("run", "pull", "list", "show", "rm", "cp", "load", "unload")


def build_app() -> typer.Typer:
    """All verbs, in the order in which a new user meets them."""
    app = typer.Typer(
        name="pyslm",
        help="Run small language models from GGUF files, on the CPU you have.",
        epilog=f"[dim]Begin with[/dim]  {_begin()}",
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(_root)
    for panel, verbs in _VERBS.items():
        for name, verb in verbs.items():
            app.command(name, rich_help_panel=panel)(verb)
    app.command("ls", hidden=True)(models.list_models)
    for group in (service.service_app, keys.keys_app, foundry.foundry_app):
        app.add_typer(group, rich_help_panel="Serve it to others")
    agent.agent_app.command("eval")(agent_eval.evaluate)
    agent.agent_app.command("export")(agent_export.export)
    agent.agent_app.command("mcp")(agent_mcp.mcp)
    agent.agent_app.command("pins")(agent_mcp.pins)
    app.command("deploy", rich_help_panel="Agents")(deploy.deploy)
    agent.agent_app.command("examples")(agent_examples.examples)
    for group in (agent.agent_app, audit.audit_app):
        app.add_typer(group, rich_help_panel="Agents")
    app.add_typer(_model_app(), rich_help_panel="Models")
    return app


def _begin() -> str:
    """The first command of a new user."""
    if default_model() is None:
        return "pyslm pull qwen2.5:0.5b && pyslm run qwen2.5:0.5b"
    return 'pyslm run "What is the weather in Oslo tomorrow?" --tools demo'


def _model_app() -> typer.Typer:
    """`pyslm model ...`: the same verbs, and the names that Foundry Local has for them."""
    app = typer.Typer(
        name="model",
        help="The verbs about models once more: pyslm model list, ...",
        no_args_is_help=True,
        rich_markup_mode="rich",
    )
    known = {name: verb for verbs in _VERBS.values() for name, verb in verbs.items()}
    for name in _OF_MODEL:
        app.command(name)(known[name])
    for other, name in (("ls", "list"), ("info", "show"), ("download", "pull"), ("remove", "rm")):
        app.command(other, hidden=True)(known[name])
    return app


def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        print(f"pyslm {__version__} (Python {platform.python_version()}, {platform.machine()})")
    elif context.invoked_subcommand is None:
        print(context.get_help())
