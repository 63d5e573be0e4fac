"""Structured output: what a request may ask for, as grammars that llguidance compiles."""

from pyslm.grammar.json_schema import json_schema_grammar
from pyslm.grammar.source import GrammarSource, grammar_source
from pyslm.grammar.vocabulary import grammar_compiler

__all__ = ["GrammarSource", "grammar_compiler", "grammar_source", "json_schema_grammar"]
