"""The ways in which models write tool calls: one file each.

`detect_tool_format` chooses one by a model's chat template; `pyslm.chat.output.OutputParser` reads
an output with it; `ToolFormat.grammar` makes sure that what is written can be read.
"""

from pyslm.chat.tool_formats.format import ToolFormat
from pyslm.chat.tool_formats.registry import (
    detect_tool_format,
    register,
    tool_format,
    tool_format_names,
)

__all__ = ["ToolFormat", "detect_tool_format", "register", "tool_format", "tool_format_names"]
