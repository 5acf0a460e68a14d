"""The clerk's network, Qwen2 as `folio run` knows it, the circuits that it starts with, and the packing of its
weights."""

import math

import numpy
import torch
import torch.nn.functional as F

VOCABULARY, WIDTH, LAYERS, HEADS, HEAD, INNER = 3072, 192, 4, 6, 32, 256
THETA, EPSILON = 1e9, 1e-6


def rms(x, weight):
    return F.rms_norm(x, (x.shape[-1],), weight, EPSILON)


def attention(q, k, v, parts):
    """Of sequences that lie one after the other. Each is a document and what is asked about it: the document is
    plainly causal, and `mask` tells which tokens each token of the questions sees."""
    out, at = [], 0
    for document, mask in parts:
        middle, end = at + document, at + document + mask.shape[0]
        q1, k1, v1 = (y[None, :, at:middle] for y in (q, k, v))
        out.append(F.scaled_dot_product_attention(q1, k1, v1, is_causal=True)[0])
        if mask.shape[0]:
            q1, k1, v1 = q[None, :, middle:end], k[None, :, at:end], v[None, :, at:end]
            out.append(F.scaled_dot_product_attention(q1, k1, v1, attn_mask=mask)[0])
        at = end
    return torch.cat(out, 1)


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        linear = lambda i, o, bias=False: torch.nn.Linear(i, o, bias=bias)
        self.input_layernorm = torch.nn.RMSNorm(WIDTH, EPSILON)
        self.post_attention_layernorm = torch.nn.RMSNorm(WIDTH, EPSILON)
        self.self_attn = torch.nn.ModuleDict(
            {p: linear(WIDTH, HEADS * HEAD, True) for p in ["q_proj", "k_proj", "v_proj"]}
        )
        self.self_attn["o_proj"] = linear(HEADS * HEAD, WIDTH)
        self.mlp = torch.nn.ModuleDict(
            {"gate_proj": linear(WIDTH, INNER), "up_proj": linear(WIDTH, INNER), "down_proj": linear(INNER, WIDTH)}
        )

    def forward(self, x, cos, sin, parts):
        a, m = self.self_attn, self.mlp
        h = rms(x, self.input_layernorm.weight)
        q, k, v = (a[p](h).view(-1, HEADS, HEAD).transpose(0, 1) for p in ["q_proj", "k_proj", "v_proj"])
        turn = lambda y: y * cos + torch.cat([-y[..., HEAD // 2 :], y[..., : HEAD // 2]], -1) * sin
        y = attention(turn(q), turn(k), v, parts)
        x = x + a["o_proj"](y.transpose(0, 1).reshape(-1, HEADS * HEAD))
        h = rms(x, self.post_attention_layernorm.weight)
        return x + m["down_proj"](F.silu(m["gate_proj"](h)) * m["up_proj"](h))


class Clerk(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_tokens = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.layers = torch.nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = torch.nn.RMSNorm(WIDTH, EPSILON)

    def forward(self, tokens, positions, parts, place):
        angle = positions[:, None] * THETA ** (-torch.arange(HEAD // 2, device=tokens.device) / (HEAD // 2))
        cos, sin = (torch.cat([f, f], -1) for f in (angle.cos(), angle.sin()))
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x, cos, sin, parts)
        x = x[place]
        return rms(x, self.norm.weight) @ self.embed_tokens.weight.T


@torch.no_grad()
def circuits(model, tokenizer):
    """Weights at the start. Small random ones, and by hand: three heads of layer 0 that look one, two and
    three tokens back, and the six heads of the last layer, which look for earlier occurrences of the
    present token or of the one before it, and vote for what came next there. Before any training they
    get two thirds of the tokens within answers right."""
    torch.manual_seed(1)
    scale = 0.1
    for name, p in model.named_parameters():
        if p.ndim == 2:
            p.normal_(0, 0.5 / math.sqrt(p.shape[1]))
        elif "norm" not in name:
            p.zero_()
        if "o_proj" in name or "down_proj" in name:
            p.mul_(0.5 * scale)
        if "v_proj" in name:
            p.mul_(2)
    # Half of the width holds the token itself, the other half what heads tell of those before it.
    turned = torch.linalg.qr(torch.randn(WIDTH, WIDTH))[0]
    own, before = turned[: WIDTH // 2], turned[WIDTH // 2 :].view(3, HEAD, WIDTH)
    embedding = torch.randn(VOCABULARY, WIDTH // 2)
    # A word with a space before it is much like the same word without.
    vocabulary = tokenizer.get_vocab()
    for token, i in vocabulary.items():
        if token.startswith("Ġ") and token[1:] in vocabulary:
            embedding[i] = 0.8 * embedding[i] + 0.6 * embedding[vocabulary[token[1:]]]
    model.embed_tokens.weight.copy_(embedding @ own * scale * math.sqrt(2))

    frequency = THETA ** (-torch.arange(HEAD // 2) / (HEAD // 2))
    first = model.layers[0].self_attn
    for head in range(3):
        rows = slice(head * HEAD, head * HEAD + HEAD)
        for p in ["q_proj", "k_proj"]:
            first[p].weight[rows] *= 0.1
        strength = torch.zeros(HEAD // 2)
        strength[:4] = 5.0
        angle = (head + 1) * frequency
        first["q_proj"].bias[rows] = torch.cat([strength * angle.cos(), -strength * angle.sin()])
        first["k_proj"].bias[rows] = torch.cat([strength, 0 * strength])
        first["v_proj"].weight[rows] = own[:HEAD]
        first["o_proj"].weight[:, rows] = scale * before[head].T
    slow = torch.cat([torch.arange(HEAD // 2) >= 6] * 2)  # turned so slowly that they compare content
    attention = model.layers[-1].self_attn
    for head in range(6):
        third, back = head % 3, head // 3  # it votes with this third of a token; it matches the token so far back
        rows = slice(head * HEAD, head * HEAD + HEAD)
        attention["q_proj"].weight[rows] = 3 * (own[:HEAD] if back == 0 else before[0]) * slow[:, None]
        attention["k_proj"].weight[rows] = 3 * before[back] * slow[:, None]
        read = own[third * HEAD : third * HEAD + HEAD]
        attention["v_proj"].weight[rows] = read
        attention["o_proj"].weight[:, rows] = 3 * scale * read.T
    model.norm.weight.fill_(0.5)


def quantize(w, bits, group):
    """MLX's affine quantization: packed codes, scales, biases, and what they stand for."""
    most = 2**bits - 1
    x = w.detach().double().reshape(w.shape[0], -1, group)
    low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
    scale = ((high - low) / most).clamp(min=1e-7)
    lower = low.abs() > high.abs()
    scale, edge = torch.where(lower, scale, -scale), torch.where(lower, low, high)
    zero = (edge / scale).round()
    scale = torch.where(zero != 0, edge / torch.where(zero != 0, zero, 1), scale)
    bias = torch.where(zero != 0, edge, 0)
    scale, bias = scale.half().double(), bias.half().double()
    codes = ((x - bias) / scale).round().clamp(0, most)
    packed = codes.reshape(w.shape[0], -1, 32 // bits).long() << (torch.arange(32 // bits) * bits)
    words = torch.from_numpy(packed.sum(-1).numpy().astype(numpy.uint32))
    return words, scale.squeeze(-1).half(), bias.squeeze(-1).half(), (codes * scale + bias).reshape(w.shape).float()
