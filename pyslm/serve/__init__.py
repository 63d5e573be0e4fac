"""`pyslm serve`: one server that OpenAI, Ollama, Foundry Local and Anthropic clients know.

::

    client ──HTTP──> front: app ─> dialect ─> registry ──Unix socket──> worker: one model
                      keys, limits  JSON ↔ protocol   loads, evicts       template, engine, parsers

Front and workers are processes of their own, so that unloading gives all memory back and a crash
costs one model's requests an error and nothing else. What passes between a dialect and a model is
in `pyslm.serve.protocol`; its docstring says how a dialect plugs in.
"""
