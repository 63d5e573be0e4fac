"""The network: qwen3's, small. pyslm's engine computes the same of the GGUF file."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pyslm.finetune.config import ModelConfig

__all__ = ["POINTING", "Nano", "attention_mask"]

_EMBEDDING = 0.16  # what Adam's first steps hardly change: else the meanings would be gone in fifty
_HEAD = 0.2
POINTING = 3
"""The layer whose heads look at what is to be copied, and are told where that is."""
_MEANING = 2.4  # about as long as the random vector of a token
_CHANCE = 0.1  # share of that vector's square that a known word keeps among the meanings


def attention_mask(scene: Tensor, branch: Tensor) -> Tensor:
    """Who sees whom, bool [rows, 1, tokens, tokens]; see `packing`."""
    num_tokens = scene.shape[1]
    causal = torch.ones(num_tokens, num_tokens, dtype=torch.bool, device=scene.device).tril()
    same_scene = scene[:, :, None] == scene[:, None, :]
    shared = branch[:, None, :] == 0
    same_branch = branch[:, :, None] == branch[:, None, :]
    return (causal & same_scene & (shared | same_branch))[:, None]


def rope_tables(config: ModelConfig, position: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines, [rows, 1, tokens, head_dim / 2]."""
    exponent = torch.arange(0, config.head_dim, 2, device=position.device) / config.head_dim
    angle = position[:, None, :, None].float() * config.rope_theta**-exponent
    return angle.cos(), angle.sin()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rope on halves: channel i goes with i + head_dim / 2."""
    a, b = x.float().chunk(2, -1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1).type_as(x)


def _at(x: Tensor, places: Tensor) -> Tensor:
    """[rows, tokens, width] at places of each row, [rows, n]: [rows, n, width]."""
    return x.gather(1, places[:, :, None].expand(-1, -1, x.shape[-1]))


class _Attention(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        q, kv = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden, q, bias=False)
        self.k_proj = nn.Linear(config.hidden, kv, bias=False)
        self.v_proj = nn.Linear(config.hidden, kv, bias=False)
        self.o_proj = nn.Linear(q, config.hidden, bias=False)
        self.q_norm = nn.RMSNorm(config.head_dim, config.norm_eps)
        self.k_norm = nn.RMSNorm(config.head_dim, config.norm_eps)

    def forward(
        self, x: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor, places: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What it adds, and queries and keys of its heads, [rows, heads, tokens, head_dim]; with
        `places` only these look at others."""
        rows = len(x)

        def split(y: Tensor) -> Tensor:
            return y.view(rows, y.shape[1], -1, self.config.head_dim).transpose(1, 2)

        looking, turns = x, rope
        if places is not None:
            looking = _at(x, places)
            turns = (_at(rope[0][:, 0], places)[:, None], _at(rope[1][:, 0], places)[:, None])
            mask = _at(mask[:, 0], places)[:, None]
        q = _rotate(self.q_norm(split(self.q_proj(looking))), *turns)
        k = _rotate(self.k_norm(split(self.k_proj(x))), *rope)
        v = split(self.v_proj(x))
        share = self.config.heads // self.config.kv_heads
        k, v = k.repeat_interleave(share, 1), v.repeat_interleave(share, 1)
        y = functional.scaled_dot_product_attention(q.type_as(v), k.type_as(v), v, attn_mask=mask)
        out: Tensor = self.o_proj(y.transpose(1, 2).reshape(rows, looking.shape[1], -1))
        return out, q, k


class _Mlp(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden, config.ffn, bias=False)
        self.up_proj = nn.Linear(config.hidden, config.ffn, bias=False)
        self.down_proj = nn.Linear(config.ffn, config.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class _Layer(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.hidden, config.norm_eps)
        self.self_attn = _Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden, config.norm_eps)
        self.mlp = _Mlp(config)

    def forward(
        self,
        x: Tensor,
        rope: tuple[Tensor, Tensor],
        mask: Tensor,
        places: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What comes out, of all tokens or of those at `places`; and queries and keys."""
        added, q, k = self.self_attn(self.input_layernorm(x), rope, mask, places)
        x = (x if places is None else _at(x, places)) + added
        return x + self.mlp(self.post_attention_layernorm(x)), q, k


class Nano(nn.Module):
    """Token ids in, hidden states out; `logits` is the head, tied to the embedding."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.hidden, config.norm_eps)
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Small random weights; what each layer adds begins at zero.

        The last norm makes up for the length of the embedding, which is the head as well.
        """
        for name, weight in self.named_parameters():
            if weight.dim() < 2:
                weight.fill_(1.0)
            elif name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.zero_()
            else:
                is_embedding = name.startswith("embed")
                weight.normal_(0.0, _EMBEDDING if is_embedding else weight.shape[1] ** -0.5)
        self.norm.weight.fill_(_HEAD)

    @torch.no_grad()
    def give_meanings(self, meanings: Tensor) -> None:
        """Writes vectors of words, [vocab, dimensions], into the first channels of the embedding:
        nearly without chance, which would hide how near they are, where a word is known."""
        channels = min(meanings.shape[1], self.config.hidden)
        known = (meanings * meanings).sum(1, keepdim=True).clamp(max=1.0)
        weight = self.embed_tokens.weight[:, :channels]
        weight.mul_((1.0 - (1.0 - _CHANCE) * known).sqrt())
        weight.add_(_MEANING * meanings[:, :channels])

    def forward(
        self, tokens: Tensor, position: Tensor, mask: Tensor, places: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden states after the last norm, [rows, tokens, hidden], or at `places`, [rows, n],
        alone; and queries and keys of the layer that points, [rows, heads, tokens, head_dim]."""
        x = self.embed_tokens(tokens)
        rope = rope_tables(self.config, position)
        *before, last = self.layers
        q = k = None
        for i, layer in enumerate(before):
            x, queries, keys = layer(x, rope, mask)
            if i == POINTING:
                q, k = queries, keys
        if q is None or k is None:  # the last layer's, which needs all of them
            x, q, k = last(x, rope, mask)
            x = x if places is None else _at(x, places)
        else:
            x, _, _ = last(x, rope, mask, places)
        return self.norm(x), q, k

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., hidden] -> float32 [..., vocab_size]."""
        return functional.linear(hidden, self.embed_tokens.weight).float()
