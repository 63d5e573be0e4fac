"""Load on a serving engine: what arrives when, and what is measured, after `vllm bench serve`."""
