"""Whatever ends by itself under a schema is valid under it, for random models and schemas.

Contract E9.
"""

from __future__ import annotations

import random

import jsonschema
import pytest
from guided_drive import Guided, parse
from random_schemas import random_schema

SCHEMAS_AT_ONCE = 16
OUTPUTS_OF_EACH = 4


def check_outputs(num_outputs: int, seed: int) -> float:
    """Generates and validates; the share that `length` cut off."""
    rng = random.Random(seed)
    num_cut = num_done = 0
    guided = Guided(max_sequences=16, max_draft=4)  # drafts as well
    while num_done < num_outputs:
        requests = []
        for _ in range(SCHEMAS_AT_ONCE):
            schema = random_schema(rng)
            for _ in range(OUTPUTS_OF_EACH):
                fields = {"seed": rng.randrange(2**63), "temperature": rng.choice([0.0, 0.7, 1.5])}
                requests.append((guided.add("json_schema", schema, **fields), schema, fields))
        guided.run()
        for request, schema, fields in requests:
            update = guided.engine.poll(request)
            num_done += 1
            if update.finish == "length":
                num_cut += 1
                continue
            assert update.finish == "stop", (update.error, schema, fields)
            jsonschema.Draft202012Validator(schema).validate(parse(update.bytes))
    return num_cut / num_done


def test_outputs_are_valid() -> None:
    assert check_outputs(600, seed=1) < 0.05


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_outputs_are_valid_100_000_times() -> None:
    share = check_outputs(100_000, seed=2)
    print(f"cut off by length: {share:.3%}")
    assert share < 0.05
