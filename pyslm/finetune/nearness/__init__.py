"""Vectors of tokens that tell how near texts are: learned from a model of sentences.

    python -m pyslm.finetune.nearness /usr/share/wordnet all-minilm.gguf --out nearness.gguf
    python -m pyslm.finetune.release runs/nano --nearness nearness.gguf

`texts` draws what is said of tools, agents and words of English; `learn` finds a vector for each
token of nano's vocabulary, so that their sums are as near to each other as the teacher finds the
texts. `pyslm.chat.nearness` has what is made of them.
"""
