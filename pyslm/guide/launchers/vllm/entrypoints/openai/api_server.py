"""`python -m vllm.entrypoints.openai.api_server`, where vLLM itself is not installed."""

import sys

from pyslm.guide.vllm_server import main

if __name__ == "__main__":
    sys.exit(main())
