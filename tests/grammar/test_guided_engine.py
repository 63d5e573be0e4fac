"""Grammars in the engine: off the step loop, cached, bounded, and with everything else about.

Contract E9.
"""

from __future__ import annotations

import random
import threading
import time

import jsonschema
import numpy as np
import pytest
from guided_drive import EOS, NAMED_BYTES, NUM_VOCAB, STOP_TOKENS, TOKEN_BYTES, Guided, parse
from random_schemas import random_schema

from pyslm._native import Engine, GrammarCompiler, SamplingParams, testing
from pyslm.errors import InvalidRequestError, UnsupportedModelError
from pyslm.grammar.json_schema import MAX_BYTES
from pyslm.grammar.vocabulary import llguidance_library

PAIR = {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2}
DIGITS = "[0-9]{30}"


def test_outputs_do_not_depend_on_the_batch_or_on_preemption() -> None:
    rng = random.Random(5)
    schemas = [random_schema(rng) for _ in range(20)]
    schemas += [{"type": "string", "minLength": 100, "maxLength": 200}] * 10
    jobs = [(schema, {"seed": rng.randrange(2**60)}) for schema in schemas]
    alone = [Guided().one("json_schema", schema, **fields) for schema, fields in jobs]
    # So few blocks that sequences give theirs up and compute anew.
    small = Guided(max_sequences=12, prefill_chunk=5, groups=[(0, 30, 16)], context_length=420)
    requests = [small.add("json_schema", s, **{**f, "max_tokens": 400}) for s, f in jobs]
    small.run()
    assert small.engine.stats().num_preemptions > 0
    for request, want in zip(requests, alone, strict=True):
        update = small.engine.poll(request)
        assert (update.tokens, update.finish) == (want.tokens, want.finish)
    assert small.engine.stats().free_blocks == [30]


def test_a_complete_grammar_ends_the_output_without_an_end_token() -> None:
    update = Guided().one("json_schema", PAIR)
    assert (update.finish, update.stop_reason) == ("stop", None)
    assert update.tokens[-1] not in STOP_TOKENS
    assert len(parse(update.bytes)) == 2


def test_complete_at_max_tokens_is_a_stop() -> None:
    exact = len(Guided().one("regex", "ab{3}").tokens)
    assert Guided().one("regex", "ab{3}", max_tokens=exact).finish == "stop"
    assert Guided().one("regex", "ab{3}", max_tokens=exact - 1).finish == "length"


def test_a_grammar_that_may_go_on_ends_by_the_model() -> None:
    guided = Guided()
    ends = {guided.one("regex", "x+", seed=seed).stop_reason for seed in range(40)}
    assert ends <= {None, *map(str, STOP_TOKENS)}
    assert ends & set(map(str, STOP_TOKENS))


def test_ignoring_the_end_goes_on_while_the_grammar_can() -> None:
    guided = Guided()
    for seed in range(10):
        update = guided.one("regex", "x{1,7}", seed=seed, ignore_eos=True)
        assert (update.finish, update.bytes) == ("stop", b"x" * 7)


def test_min_tokens_holds_back_the_end_until_the_grammar_is_complete() -> None:
    guided = Guided()
    for seed in range(10):
        update = guided.one("regex", "x+", seed=seed, min_tokens=12)
        assert len(update.tokens) >= 12
        assert guided.one("regex", "x{1,3}", seed=seed, min_tokens=12).bytes == b"xxx"


def test_stop_strings_end_an_output_that_follows_a_grammar() -> None:
    update = Guided().one("regex", DIGITS, stop=["7"])
    assert (update.finish, update.stop_reason) == ("stop", "7")
    assert b"7" not in update.bytes


def test_bad_words_and_allowed_tokens_apply_too() -> None:
    update = Guided().one("regex", DIGITS, bad_words=["1", "00"])
    assert update.finish == "stop"
    assert len(update.bytes) == 30
    assert b"1" not in update.bytes
    assert b"00" not in update.bytes
    allowed = [TOKEN_BYTES.index(bytes([48 + d])) for d in (2, 3)]
    assert set(Guided().one("regex", DIGITS, allowed_token_ids=allowed).bytes) == set(b"23")


def test_restrictions_that_leave_nothing_are_an_error_of_the_request() -> None:
    update = Guided().one("regex", DIGITS, allowed_token_ids=[TOKEN_BYTES.index(b"a")])
    assert update.finish == "error"
    assert update.error_is_request
    assert "allowed_token_ids" in update.error


def test_logprobs_are_those_of_the_model_without_the_grammar() -> None:
    guided = Guided()
    update = guided.one("regex", "ab", logprobs=1, temperature=0)
    expected = guided.runner.expected_logits([1, 2, 3]).astype(float)
    normal = expected - (expected.max() + np.log(np.exp(expected - expected.max()).sum()))
    token, logprob = update.logprobs[0][0]
    assert logprob == pytest.approx(normal[token], rel=1e-5)
    assert update.logprobs[0][1][0] == int(np.argmax(expected))


# --- compiling --------------------------------------------------------------------------------


def test_the_same_grammar_is_compiled_once() -> None:
    guided = Guided()
    for seed in range(5):
        guided.one("json_schema", PAIR, seed=seed)
    assert guided.compiler.num_compiled == 1
    guided.one("regex", "a")
    assert guided.compiler.num_compiled == 2


def test_the_cache_forgets_what_was_not_used_longest() -> None:
    guided = Guided()
    guided.compiler = GrammarCompiler(
        str(llguidance_library()), NAMED_BYTES, STOP_TOKENS, num_threads=1, cache_entries=2
    )
    guided.engine.use_grammars(guided.compiler)
    for pattern in ("a", "b", "a", "c", "a"):  # "b" goes when "c" comes
        guided.one("regex", pattern)
    assert guided.compiler.num_compiled == 3
    guided.one("regex", "b")
    assert guided.compiler.num_compiled == 4


def slow_grammar(size: int) -> str:
    """Takes some 30 microseconds for each of its terminals, one within the other."""
    chain = (f'T{i}: "a" T{i + 1} | "b"' for i in range(size))
    return "start: T0\n" + "\n".join(chain) + f'\nT{size}: "b"'


def test_other_streams_go_on_while_a_grammar_is_compiled() -> None:
    guided = Guided(step_microseconds=200)
    guided.one("regex", "a")  # the vocabulary is ready
    slow = guided.add("lark", slow_grammar(6000), max_tokens=2)
    free = guided.add(max_tokens=30, ignore_eos=True)
    assert guided.engine.stats().num_compiling == 1
    steps_beside = 0
    while guided.engine.step():
        steps_beside += guided.engine.stats().num_compiling
    assert guided.engine.poll(free).finish == "length"
    assert guided.engine.poll(slow).finish in ("stop", "length")
    assert steps_beside > 2


def test_a_request_can_be_aborted_while_its_grammar_is_compiled() -> None:
    guided = Guided()
    request = guided.add("lark", slow_grammar(6000))
    assert guided.engine.abort(request)
    assert guided.engine.poll(request).finish == "abort"
    assert guided.engine.step() == 0
    stats = guided.engine.stats()
    assert (stats.num_compiling, stats.num_running, stats.num_waiting) == (0, 0, 0)
    assert guided.one("regex", "a").finish == "stop"


def test_an_engine_may_go_while_grammars_are_compiled() -> None:
    for _ in range(5):
        guided = Guided()
        for _ in range(4):
            guided.add("lark", slow_grammar(2000))
        guided.engine.step()
        del guided


def chain(link: str, last: str, end: str) -> str:
    """Definitions that each refer to the next, as many as a request may hold."""
    lines, size, i = [], len(last) + len(end) + 20, 0
    while True:
        line = link.replace("{}", str(i), 1).replace("{}", str(i + 1))
        line = line.replace("{{", "{").replace("}}", "}") + "\n"
        size += len(line)
        if size > MAX_BYTES:
            break
        lines.append(line)
        i += 1
    last = last.replace("{}", str(i), 1).replace("{{}}", "{}")
    return "".join(lines) + last + "\n" + end


BOMBS = [
    ("regex", "(a{1000}){1000}"),
    ("regex", "a{1,100000000}"),
    ("regex", "(((a{1,100}){1,100}){1,100}){1,100}"),
    ("regex", "(x+x+)+y"),
    ("regex", "(" * 20_000 + "a" + ")" * 20_000),
    ("regex", "(a|b|ab)*c{500}(a?){3000}a{3000}"),
    ("regex", "[a-z]*" * 3000),
    ("regex", "(.*a.{40}b.*)&(.*c.{40}d.*)"),
    ("lark", "start: a\na: a a | a | \"x\""),
    ("lark", "start: " + "(" * 20_000 + '"a"' + ")" * 20_000),
    ("lark", "\n".join(f"r{i}: r{i + 1} r{i + 1} | \"a\"" for i in range(3000))
     + '\nr3000: "b"\nstart: r0'),
    ("json_schema", '{"type":"string","maxLength":100000000,"minLength":99999999}'),
    ("json_schema", '{"type":"array","minItems":1000000000,"items":{"type":"null"}}'),
    ("json_schema", '{"enum":[' + ",".join(f'"{i}"' for i in range(30_000)) + "]}"),
    ("json_schema", '{"items":' * 400 + "true" + "}" * 400),
    ("json_schema", '{"$defs":{"a":{"anyOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a"}]}},'
     '"$ref":"#/$defs/a"}'),
    ("json_schema", '{"allOf":[' + ",".join(
        '{"anyOf":[' + ",".join(f'{{"minLength":{i * j}}}' for j in range(12)) + "]}"
        for i in range(12)) + "]}"),
    ("json_schema", '{"type":"string","pattern":"' + "(a|aa)+" * 200 + '"}'),
    ("json_schema", "[" * 100_000),
    ("lark", chain("r{}: r{}", 'r{}: "b"', "start: r0")),
    ("lark", chain("r{}: r{} r{} | \"a\"", 'r{}: "b"', "start: r0")),
    ("lark", chain('T{}: "a" T{} | "b"', 'T{}: "b"', "start: T0")),
    ("lark", chain("T{}: ~T{}", 'T{}: "b"', "start: T0")),
    ("json_schema", '{"$defs":{' + chain(
        '"a{}":{{"$ref":"#/$defs/a{}"}},', '"a{}":{{}}', '},"$ref":"#/$defs/a0"}')),
    ("json_schema", '{"$defs":{' + chain(
        '"a{}":{{"items":{{"$ref":"#/$defs/a{}"}}}},', '"a{}":{{}}', '},"$ref":"#/$defs/a0"}')),
    ("json_schema", '{"$defs":{' + chain(
        '"a{}":{{"properties":{{"b":{{"$ref":"#/$defs/a{}"}}}}}},', '"a{}":{{}}',
        '},"$ref":"#/$defs/a0"}')),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), BOMBS, ids=range(len(BOMBS)))
def test_bombs_end_soon_and_others_do_not_notice(kind: str, text: str) -> None:
    guided = Guided()
    want = guided.one(max_tokens=50, ignore_eos=True, seed=4).tokens
    started = time.perf_counter()
    bomb = guided.add(kind, text, max_tokens=40)
    free = guided.add(max_tokens=50, ignore_eos=True, seed=4)
    guided.run()
    assert time.perf_counter() - started < 20  # a second or two on a machine that is not busy
    update = guided.engine.poll(bomb)
    assert update.finish in ("stop", "length") or update.error_is_request
    assert guided.engine.poll(free).tokens == want


# --- many at once -----------------------------------------------------------------------------


def test_requests_come_and_go_from_many_threads() -> None:
    guided = Guided(max_sequences=4)
    failures: list[BaseException] = []
    done = threading.Event()

    def client(seed: int) -> None:
        rng = random.Random(seed)
        try:
            for _ in range(12):
                schema = random_schema(rng)
                request = guided.add("json_schema", schema, seed=rng.randrange(2**60))
                if rng.random() < 0.25:
                    guided.engine.abort(request)
                text = b""
                while True:
                    update = guided.engine.poll(request)
                    text += update.bytes if update else b""
                    if update and update.finish:
                        break
                    time.sleep(0.001)
                assert update.finish in ("stop", "length", "abort"), update.error
                if update.finish == "stop":
                    jsonschema.Draft202012Validator(schema).validate(parse(text))
        except BaseException as error:
            failures.append(error)

    def step() -> None:
        while not done.is_set():
            if guided.engine.step() == 0:
                time.sleep(0.001)

    stepper = threading.Thread(target=step)
    clients = [threading.Thread(target=client, args=(seed,)) for seed in range(6)]
    stepper.start()
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    done.set()
    stepper.join()
    assert not failures
    assert guided.engine.stats().free_blocks == [4096]


# --- what cannot be -----------------------------------------------------------------------------


def test_an_engine_without_a_compiler_refuses_grammars() -> None:
    engine = Engine(testing.TestRunner(num_vocab=NUM_VOCAB), 2, 16, TOKEN_BYTES, [EOS])
    with pytest.raises(InvalidRequestError, match="use_grammars"):
        engine.add([1], SamplingParams(grammar_type="regex", grammar="a"))
    assert engine.step() == 0


def test_a_compiler_for_another_vocabulary_is_refused() -> None:
    engine = Engine(testing.TestRunner(num_vocab=NUM_VOCAB), 2, 16, TOKEN_BYTES, [EOS])
    with pytest.raises(InvalidRequestError, match=f"2 tokens; needed.* {NUM_VOCAB}"):
        engine.use_grammars(GrammarCompiler("x", [b"a", b""], [1]))


@pytest.mark.parametrize("library", ["/nonexistent.so", "libm.so.6"])
def test_a_library_that_is_none_is_an_error_of_the_request_only(library: str) -> None:
    guided = Guided()
    guided.engine.use_grammars(GrammarCompiler(library, NAMED_BYTES, STOP_TOKENS))
    update = guided.one("regex", "a")
    assert update.finish == "error"
    assert "llguidance" in update.error
    assert guided.one(max_tokens=3, ignore_eos=True).finish == "length"


def test_a_vocabulary_without_an_end_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="end token"):
        GrammarCompiler("x", [b"a"], [])
    with pytest.raises(InvalidRequestError, match="token 5"):
        GrammarCompiler("x", [b"a"], [5])


def test_outputs_under_a_schema_are_the_same_to_the_letter() -> None:
    """Drafts of what repeats, cut where the grammar forbids it; sampled at several temperatures."""
    point = {"type": "array", "items": {"enum": ["north", "south"]}, "minItems": 2, "maxItems": 6}
    schema = {"type": "array", "items": point, "minItems": 3, "maxItems": 8}
    outputs = []
    for max_draft in (0, 6):
        guided = Guided(max_draft=max_draft)
        fields = [{"seed": s, "temperature": s % 3 / 2, "max_tokens": 200} for s in range(12)]
        ids = [guided.add("json_schema", schema, **chosen) for chosen in fields]
        guided.run()
        updates = [guided.engine.poll(request) for request in ids]
        outputs.append([(u.tokens, u.bytes, u.finish) for u in updates])
        assert (guided.engine.stats().accepted_tokens > 100) == (max_draft > 0)
    assert outputs[0] == outputs[1]
