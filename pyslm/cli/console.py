"""What the verbs share: the terminal, progress bars, loading a model, common options."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from pyslm.errors import InvalidRequestError, ModelNotFoundError

if TYPE_CHECKING:
    from pyslm.llm import LLM

__all__ = [
    "ContextOption",
    "JsonOption",
    "KvTypeOption",
    "ModelArgument",
    "ThreadsOption",
    "WeightCacheOption",
    "error_console",
    "is_default",
    "load_model",
    "model_and_prompt",
    "model_path",
    "output_console",
    "progress_bar",
    "read_text",
    "warn",
]


def model_path(text: str) -> Path:
    """The file that a path or a name stands for."""
    from pyslm.hub import resolve

    try:
        return resolve(text)
    except InvalidRequestError as error:
        raise typer.BadParameter(str(error)) from None


def model_and_prompt(model: str | None, prompt: str | None) -> tuple[Path, str | None]:
    """What the words of `pyslm run [MODEL] [PROMPT]` mean: a file, and a prompt if there is one.

    Where no model is named, be it that nothing is said or only a sentence, it is the one that comes
    with the package.
    """
    from pyslm.hub.embedded import default_model
    from pyslm.hub.names import is_sentence

    default = default_model()
    if model is None:
        if default is None:
            raise InvalidRequestError(
                "no model is named, and this pyslm comes without nano; give a GGUF file, or a name "
                "of `pyslm list`"
            )
        return model_path(default), None
    if default is None or prompt is not None:
        return model_path(model), prompt
    if is_sentence(model):
        return model_path(default), model
    try:
        return model_path(model), None
    except ModelNotFoundError as error:
        if not model.isalpha():
            raise
        raise ModelNotFoundError(f'{error}; a prompt is: pyslm run {default} "{model}"') from None


ModelArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help="A GGUF file, or a name: see `pyslm list`.", parser=model_path
    ),
]
ContextOption = Annotated[
    int | None,
    typer.Option("--ctx", min=1, help="Context in tokens. Default: the model's, at most 4096."),
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", "-t", min=1, help="Default: the physical cores.")
]
KvTypeOption = Annotated[
    str, typer.Option("--kv-type", help="How keys and values are kept: f16, bf16 or q8_0.")
]
WeightCacheOption = Annotated[
    bool,
    typer.Option(
        "--weight-cache/--no-weight-cache",
        help="Keep packed weights on disk, so that the next start is faster.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]


def is_default(context: typer.Context, name: str) -> bool:
    """Whether the command line leaves a parameter as it is."""
    source = context.get_parameter_source(name)
    return source is None or source.name == "DEFAULT"


def error_console() -> Console:
    """For progress and remarks: stderr, so that stdout holds nothing but the result."""
    return Console(stderr=True, highlight=False)


def output_console() -> Console:
    """For tables meant for people."""
    return Console(highlight=False)


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Callable[[float], None]]:
    """A function that takes the fraction done (0 to 1). Nothing is shown off a terminal."""
    console = error_console()
    if not console.is_terminal:
        yield lambda fraction: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=1.0)
        yield lambda fraction: progress.update(task, completed=fraction)


def load_model(model: Path, **options: Any) -> LLM:
    """Loads with a progress bar; warnings become remarks on stderr."""
    from pyslm.llm import LLM

    with warnings.catch_warnings():
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        with progress_bar(f"Loading {model.name}") as progress:
            return LLM(model, progress=progress, **options)


def _show_warning(message: Warning | str, *_where: object) -> None:
    warn(str(message))


def warn(message: str) -> None:
    """A remark on stderr that does not stop the work."""
    print(f"pyslm: warning: {message}", file=sys.stderr)


def read_text(path: Path) -> str:
    """A UTF-8 text file; an InvalidRequestError where it is none."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{path} is not UTF-8 text: {error}") from None
    except OSError as error:
        raise InvalidRequestError(f"{path} cannot be read: {error.strerror or error}") from None
