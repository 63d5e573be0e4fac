"""The ways in which models write tool calls: one file each.

`detect_tool_format` chooses one by a model's chat template; `pyslm.chat.output.OutputParser` reads
an output with it; `ToolFormat.grammar` makes sure that what is written can be read.

A new format is a module of this folder with a class that `register` decorates. It says how sure it
is of a template (`detect`), reads an output (`read`: a generator, written as if all the output were
there; see `pyslm.chat.reader`), writes calls (`write`) and gives the grammar of what follows its
trigger (`rest`). The tests run over all that are registered; a published output and a spoiled one
are asked of each.

A call is told when it is complete and found to be one, never before: what has been told cannot be
taken back.
"""

from pyslm.chat.tool_formats.format import ToolFormat
from pyslm.chat.tool_formats.registry import (
    detect_tool_format,
    register,
    tool_format,
    tool_format_names,
)

__all__ = ["ToolFormat", "detect_tool_format", "register", "tool_format", "tool_format_names"]
