"""The process that holds one model: engine, tokenizer, chat template, parsers.

It connects to the socket it is told, loads what the front says, and answers until the front hangs
up. It trusts the front, not what the front's clients send; and whatever happens to it, only its own
requests suffer.
"""
