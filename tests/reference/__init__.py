"""An independent implementation of the model graphs, in NumPy, over weights that the PyPI package
`gguf` decodes. It shares no code with pyslm: the tests compare the two.

Everything is computed in float64, one sequence at a time, without a cache and as plainly as the
equations are written: slow, and short enough to be checked by reading. It is itself compared with
llama.cpp in tests/compare/test_llama_cpp.py.
"""

from .decoder import reference_logits
from .encoder import reference_embedding, reference_rank, reference_token_embeddings

__all__ = [
    "reference_embedding",
    "reference_logits",
    "reference_rank",
    "reference_token_embeddings",
]
