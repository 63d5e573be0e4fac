"""Conversations as text, and text as conversations.

::

    messages, tools ─> conversation ─> template ─> prompt
    output ─> output (reader: reasoning, then a tool format) ─> events

`template` renders what a model's own template can say, `conversation` rewrites what it cannot;
`output` tells answer, reasoning and calls apart while the output comes. `tool_formats` has a file
for each way of writing calls, with a grammar of each.
"""
