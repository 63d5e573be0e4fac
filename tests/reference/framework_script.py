"""What a scripted model says to agents of Microsoft Agent Framework, and to what."""

from __future__ import annotations

import json

__all__ = ["ANSWER", "CUES", "QUESTION", "REPLIES"]

QUESTION = "How will the weather be in Oslo?"
_CALL = ["<tool_call>\n", '{"name": "get_weather", "arguments": {"city": "Oslo", ', '"days": 2}}',
        "\n</tool_call>"]  # fmt: skip
_HANDOFF = ["<tool_call>", '\n{"name": "handoff_to_expert", "arguments": {}}', "\n</tool", "_call>"]
ANSWER = ["It will be ", "sunny ", "in Oslo."]
_NEXT = ['{"terminate": false, "reason": "ask",',
        ' "next_speaker": "expert", "final_message": null}']  # fmt: skip
_END = ['{"terminate": true, "reason": "done",',
       ' "next_speaker": null, "final_message": "That was all."}']  # fmt: skip
_PLAN = ["We ", "ask ", "the expert."]


def _ledger(done: bool) -> list[str]:
    """Two pieces, unlike those of the other ledger."""
    word = "yes" if done else "no"
    answers = {
        "is_request_satisfied": done, "is_in_loop": False, "is_progress_being_made": True,
        "next_speaker": "expert", "instruction_or_question": f"{word}: tell the weather",
    }  # fmt: skip
    text = json.dumps({key: {"reason": word, "answer": a} for key, a in answers.items()})
    return [text[:60], text[60:]]


CUES = """
{%- set said = messages | map(attribute='content') | select('string') | join(' ') -%}
{%- set last = messages[-1].content or '' -%}
{%- if 'You are the manager' in said -%}
  {%- if 'is_in_loop' in last and 'sunny in Oslo' in said -%}<|ledger_end|>
  {%- elif 'is_in_loop' in last -%}<|ledger_next|>
  {%- elif 'sunny in Oslo' in said -%}<|answer|>
  {%- else -%}<|plan|>{%- endif -%}
{%- elif 'You are the chair' in said -%}
  {%- if 'It will be sunny in Oslo' in said -%}<|end_it|>{%- else -%}<|next|>{%- endif -%}
{%- elif messages[-1].role == 'tool' and 'sunny' in messages[-1].content -%}<|answer|>
{%- elif 'You are the desk' in said -%}<|handoff|>
{%- elif tools -%}<|call|>
{%- else -%}<|answer|>
{%- endif -%}"""

REPLIES = {
    "<|call|>": _CALL, "<|answer|>": ANSWER, "<|handoff|>": _HANDOFF, "<|next|>": _NEXT,
    "<|end_it|>": _END, "<|plan|>": _PLAN, "<|ledger_next|>": _ledger(False),
    "<|ledger_end|>": _ledger(True),
}  # fmt: skip
