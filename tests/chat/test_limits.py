"""Templates that loop, swell or reach out are stopped, in bounded time and memory."""

from __future__ import annotations

import time

import pytest

from pyslm.chat.template import ChatTemplate
from pyslm.errors import ChatTemplateError, PyslmError

R = "range(100000)"
TOO_LONG = [
    f"{{% for a in {R} %}}{{% for b in {R} %}}{{% endfor %}}{{% endfor %}}",
    "{% macro f(n) %}{{ f(n - 1) ~ f(n - 1) if n else '' }}{% endmacro %}{{ f(60) }}",
    f"{{% for a in {R} %}}{{{{ {R}|list|sort|length }}}}{{% endfor %}}",
    f"{{% for a in {R} if {R}|list|length > a %}}{{% endfor %}}",
    f"{{% for a in {R} recursive %}}{{{{ loop({R}) }}}}{{% endfor %}}",
]
TOO_LARGE = [
    "{{ 'a' * 10000000000 }}",
    "{{ 10000000000 * 'a' }}",
    "{{ [0] * 10000000000 }}",
    "{{ 10 ** 100000 }}",
    "{{ 'a'|center(10000000000) }}",
    "{{ 'a'.ljust(10000000000) }}",
    "{{ 'a'.encode().ljust(10000000000) }}",
    "{{ (1).to_bytes(10000000000, 'big') }}",
    "{{ '%9999999999d' % 1 }}",
    "{{ '%*d' % (9999999999, 1) }}",
    "{{ '%9999999999d'|format(1) }}",
    "{{ '{:9999999999}'.format(1) }}",
    "{{ '{:{}}'.format(1, '9999999999') }}",
    "{{ 'a'|indent(10000000000) }}",
    "{{ {'a': [1]}|tojson(indent=10000000000) }}",
    *(
        f"{{% set n = namespace(s={start}) %}}{{% for i in range(60) %}}"
        f"{{% set n.s = {step} %}}{{% endfor %}}"
        for start, step in (
            ("'aaaa'", "n.s + n.s"),
            ("'aaaa'", "n.s ~ n.s"),
            ("[1, 2]", "n.s + n.s"),
            ("7", "n.s * n.s"),
            ("'aaaa'", "n.s|replace('a', 'aaaaaaaa')"),
            ("'aaaa'", "n.s.replace('a', 'aaaaaaaa')"),
        )
    ),
    "{% set n = namespace(l=[]) %}{% for i in range(9999) %}"
    "{% set n.l = n.l + ['x' * 8000000] %}{% endfor %}",
    "{% for i in range(100000) %}{{ 'x' * 1000 }}{% endfor %}",
]
REACHING_OUT = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__class__ }}",
    "{{ raise_exception.__globals__ }}",
    "{{ strftime_now.__globals__['__builtins__'] }}",
    "{{ cycler.__init__.__globals__.os.popen('id') }}",
    "{{ self._TemplateReference__context }}",
    "{{ ''|attr('__class__') }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].clear() }}",
    "{{ '{0.__class__}'.format(1) }}",
    "{{ 'a'._marks }}",
    "{% include 'x' %}",
    "{% import 'os' as os %}",
]


@pytest.mark.parametrize("source", TOO_LONG)
def test_time(source: str) -> None:
    begin = time.process_time()
    with pytest.raises(ChatTemplateError, match=r"took longer than 1 s|RecursionError"):
        ChatTemplate(source).render([])
    assert time.process_time() - begin < 3


@pytest.mark.parametrize("source", TOO_LARGE)
def test_size(source: str) -> None:
    begin = time.process_time()
    with pytest.raises(ChatTemplateError, match=r"items|bytes|bits|width|took longer"):
        ChatTemplate(source).render([])
    assert time.process_time() - begin < 3


@pytest.mark.parametrize("source", REACHING_OUT)
def test_sandbox(source: str) -> None:
    try:
        text = ChatTemplate(source).render([{"role": "user", "content": "Hi"}])
    except ChatTemplateError:
        return
    assert text == ""  # an undefined value, written as nothing


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% if %}", "not valid"),
        ("{{ 'a", "not valid"),
        ("{% nonsense %}", "not valid"),
        ("{{ 1|no_such_filter }}", "not valid"),
        ("(" * 10 + "{{" + "(" * 20000, "not valid"),
        ("{{ 1 // 0 }}", "ZeroDivisionError"),
        ("{{ nothing.at.all }}", "undefined"),
        ("{{ raise_exception('no such role') }}", "no such role"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError|took longer"),
        ("x" * (1 << 21), "characters; at most"),
    ],
)
def test_errors_are_ours(source: str, message: str) -> None:
    with pytest.raises(ChatTemplateError, match=message) as caught:
        ChatTemplate(source).render([{"role": "user", "content": "Hi"}])
    assert isinstance(caught.value, PyslmError)


def test_a_long_honest_conversation_fits() -> None:
    source = "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content|trim }}{% endfor %}"
    messages = [{"role": "user", "content": "word " * 2000}] * 400
    assert len(ChatTemplate(source).render(messages)) > 3_900_000


def test_formats_of_honest_size() -> None:
    source = (
        "{{ '{\"a\": {\"b\": %s}, \"n\": 123456}' % 'x' }}{{ '%5.2f%%'|format(1.5) }}"
        "{{ '{:>4}|{}'.format(1, 'z') }}"
    )
    assert ChatTemplate(source).render([]) == '{"a": {"b": x}, "n": 123456} 1.50%   1|z'


def test_loops_keep_their_variables() -> None:
    source = (
        "{% for x in [1, 2, 3] %}{{ loop.index }}{{ loop.length }}{{ loop.last }}{{ loop.first }}"
        "{{ loop.previtem }}{{ loop.nextitem }};{% if x == 2 %}{% break %}{% endif %}{% endfor %}"
        "{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% else %}none{% endfor %}"
        "{% for x in [] %}{% else %}empty{% endfor %}"
    )
    assert ChatTemplate(source).render([]) == "13FalseTrue2;23FalseFalse13;a1empty"


def test_one_rendering_does_not_spend_the_time_of_the_next() -> None:
    template = ChatTemplate("{% for i in range(1000) %}{{ i }}{% endfor %}")
    with pytest.raises(ChatTemplateError):
        ChatTemplate(TOO_LONG[0]).render([])
    assert template.render([]).endswith("999")
