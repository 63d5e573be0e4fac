"""The tools of `domains`, each time under other names."""

from __future__ import annotations

import functools
import random

from pyslm.finetune.data.domains import Domain, load_domains
from pyslm.finetune.data.names import identifier, spoken
from pyslm.finetune.data.orders import is_order
from pyslm.finetune.data.params import Params, distinct
from pyslm.finetune.data.spec import Template, ToolSpec

__all__ = ["DomainTools"]

_NO_DESCRIPTION = 0.04
_OTHER_STYLE = 0.25


class DomainTools:
    """Draws them; all randomness comes from `rng`."""

    def __init__(self, rng: random.Random, params: Params) -> None:
        self._rng = rng
        self._params = params

    def draw(self) -> ToolSpec:
        """One of them."""
        rng = self._rng
        domain = rng.choice(load_domains())
        name = rng.choice(domain.names)
        if rng.random() < _OTHER_STYLE:
            name = identifier(spoken(name).split(), rng)
        about = "" if rng.random() < _NO_DESCRIPTION else rng.choice(domain.about)
        acts = _acts(domain)
        return ToolSpec(
            topic=" ".join(domain.names),
            name=name,
            description=about,
            params=tuple(distinct([self._params.of_domain(param) for param in domain.params])),
            acts=acts,
            para_acts=(),
            stems=_templates(domain)[0],
            paras=_templates(domain)[1],
            nouns=(),
            things=(),
            para_things=(),
            gives=tuple((key, self._params.maker(kind)) for key, kind in domain.gives),
        )


@functools.cache
def _acts(domain: Domain) -> tuple[str, ...]:
    """What it does, as orders; its first description where none is one."""
    texts = [about.rstrip(".") for about in domain.about]
    orders = [text for text in texts if is_order(text.lower())] or texts[:1]
    return tuple(text[0].lower() + text[1:] for text in orders)


@functools.cache
def _templates(domain: Domain) -> tuple[tuple[Template, ...], tuple[Template, ...]]:
    return tuple(map(Template.read, domain.stems)), tuple(map(Template.read, domain.paras))
