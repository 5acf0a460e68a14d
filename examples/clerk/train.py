#!/usr/bin/env python3
"""Trains the clerk: a very small Qwen2 model that answers questions about a lease by reading it.

    python3 -m venv venv && venv/bin/pip install torch tokenizers safetensors numpy
    venv/bin/python train.py WORK train                   # resumes from WORK; stop it at any time
    venv/bin/python train.py WORK measure                 # exact answers on leases never seen
    venv/bin/python train.py WORK export FOLDER           # 8-bit MLX checkpoint

The documents are made up (`leases.py`); nothing is downloaded. Each sequence is one document and
fifteen or so questions about it. A question sees the document and itself, not the other questions,
so that one pass over a document trains many answers, each as it will be asked later.

Answers are copied from the document, and copying takes a circuit of two attention heads: one that
tells each token its predecessor, one that finds the place whose predecessor is the token just
written. Gradient descent takes long to find it, so `circuits` sets it up at the start; everything
else is learned.
"""

import argparse
import json
import math
import pathlib
import random
import time

import numpy
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import leases
from model import EPSILON, HEADS, INNER, LAYERS, THETA, VOCABULARY, WIDTH, Clerk, circuits, quantize

SPECIAL = ["<|end|>", "<|document|>", "<|question|>", "<|answer|>"]
END, DOCUMENT, QUESTION, ANSWER = range(4)
BATCH = 3000  # tokens of a training step
TRAIN_SEED, MEASURE_SEED, SEEDS = 10**9, 5 * 10**8, 100  # a step draws from so many seeds


# --- Tokens -------------------------------------------------------------------------------------


def make_tokenizer(path):
    """Byte-level BPE. Emphasis is dropped and every line begins with a space, so that a word is the
    same token wherever it stands; runs of empty lines are one newline; numbers are cut after four
    digits, and all numbers of up to three are tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace("*", ""),
            normalizers.Replace(Regex(r"\n[\n ]*"), "\n "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\n| ?\p{L}+| ?\p{N}{1,4}| ?[^\s\p{L}\p{N}]+|\s+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )

    def corpus():
        for n in range(1000):
            yield (f"{n:03} " + (f"a{n} " if n < 100 else "") + f" {n}") * 40
        for year in range(1990, 2060):
            yield f" {year}" * 40
        for seed in range(4000):
            text, asked = leases.lease(TRAIN_SEED * 2 + seed, 0.5)
            yield text
            yield " ".join(q for q, _, _ in asked)

    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.save(str(path))


class Maker:
    """Sequences of tokens from seeds."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.known = {}

    def ids(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def sequence(self, seed, size, held=False):
        """Document, and for every question its tokens and those of the answer."""
        text, asked = leases.lease(seed, size, held)
        document = [DOCUMENT] + self.ids(" " + text)
        pairs = []
        for question, answer, key in asked:
            if question not in self.known:
                self.known[question] = [QUESTION] + self.ids(" " + question) + [ANSWER]
            pairs.append((self.known[question], self.ids(" " + answer) + [END], answer != leases.ABSENT, key))
        return document, pairs


def batch(sequences):
    """Tokens and positions of all sequences, one after the other, how each is parted (`attention`), and where
    which token is to be predicted, with its weight."""
    tokens, positions, parts, place, targets, weights = [], [], [], [], [], []
    for document, pairs in sequences:
        tokens += document
        positions += range(len(document))
        whose = []
        for k, (question, answer, stated, _) in enumerate(pairs):
            piece = question + answer[:-1]
            first = len(tokens) + len(question) - 1
            tokens += piece
            positions += range(len(document), len(document) + len(piece))
            whose += [k] * len(piece)
            place += range(first, first + len(answer))
            targets += answer
            # The first token decides; those of the refusal follow by themselves.
            weights += [2.0 if stated else 1.0] + [1.0 if stated else 0.1] * (len(answer) - 1)
        whose = torch.tensor(whose)
        own = (whose[:, None] == whose).tril()
        parts.append((len(document), torch.cat([own.new_ones(len(whose), len(document)), own], 1)))
    return torch.tensor(tokens), torch.tensor(positions), parts, torch.tensor(place), torch.tensor(targets), torch.tensor(weights)


# --- Training -----------------------------------------------------------------------------------


def muon(p, gradient, state, lr):
    """One step of Muon: the momentum made orthogonal by five Newton-Schulz iterations."""
    buffer = state.setdefault("m", torch.zeros_like(p))
    buffer.mul_(0.95).add_(gradient)
    x = gradient + 0.95 * buffer
    flip = x.shape[0] > x.shape[1]
    x = x.T if flip else x
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    x = x.T if flip else x
    p.mul_(1 - lr * 0.01).add_(x, alpha=-lr * 0.2 * math.sqrt(max(p.shape)))


def plan(progress):
    """What the documents of a step are like, and how fast to learn, at this part of the way (0 to 1):
    the scale of the filler, the most tokens of a sequence, and the rate."""
    size = 0.15 + 0.85 * min(1, max(0, (progress - 0.1) / 0.5))
    return size, int(700 + 1700 * size), 0.006 * min(1, (1 - progress) / 0.4)


def draw(maker, step, progress):
    """The batch of one step, and how many tokens it has."""
    size, longest, _ = plan(progress)
    size *= random.Random(step).random() ** 0.5
    sequences, total, seed = [], 0, TRAIN_SEED + step * SEEDS
    while total < BATCH and seed < TRAIN_SEED + (step + 1) * SEEDS:
        document, pairs = maker.sequence(seed, size)
        seed += 1
        length = len(document) + sum(len(question) + len(answer) for question, answer, _, _ in pairs)
        if length <= longest:
            sequences.append((document, pairs))
            total += length
    return batch(sequences), total


def train(work, a):
    model, maker = Clerk(), Maker(Tokenizer.from_file(str(work / "tokenizer.json")))
    circuits(model, maker.tokenizer)
    state = {"step": 0, "tokens": 0, "seconds": 0.0}
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    memory = [{} for _ in matrices]
    adam = torch.optim.AdamW(others, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.0)
    saved = work / "checkpoint.pt"
    if saved.exists():
        kept = torch.load(saved, weights_only=False)
        model.load_state_dict(kept["model"])
        adam.load_state_dict(kept["adam"])
        memory, state = kept["memory"], kept["state"]
    steps = int(a.million * 1e6 / BATCH)
    log = open(work / "train.log", "a", buffering=1)
    began = last = time.time()
    seen = []
    for step in range(state["step"], steps):
        progress = step / steps
        (tokens, positions, parts, place, targets, weights), total = draw(maker, step, progress)
        logits = model(tokens, positions, parts, place)
        each = F.cross_entropy(logits, targets, reduction="none")
        loss = (each * weights).sum() / weights.sum()
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        rate = plan(progress)[2] * min(1, (step + 1) / 30)
        for group in adam.param_groups:
            group["lr"] = rate * 0.2
        adam.step()
        with torch.no_grad():
            for p, m in zip(matrices, memory):
                muon(p, p.grad, m, rate)
        right = (logits.argmax(-1) == targets).float()
        seen.append([loss.item(), right[weights == 2].mean().item(), right[weights == 1].mean().item()])
        now = time.time()
        state.update(step=step + 1, tokens=state["tokens"] + total, seconds=state["seconds"] + now - last)
        last = now
        if state["step"] % 20 == 0:
            mean = numpy.mean(seen[-20:], 0)
            log.write(
                f"step {state['step']}, {state['tokens']} tokens, {state['seconds']:.0f} s: loss {mean[0]:.3f}, right "
                f"first tokens {mean[1]:.3f}, others {mean[2]:.3f}; rate {rate:.4f}\n"
            )
        late = now - began > a.minutes * 60
        if state["step"] % 60 == 0 or late or state["step"] == steps:
            save(saved, model, adam, memory, state)
        if late:
            break


def save(path, model, adam, memory, state):
    new = path.with_suffix(".new")
    torch.save({"model": model.state_dict(), "adam": adam.state_dict(), "memory": memory, "state": state}, new)
    new.replace(path)


# --- Measuring ----------------------------------------------------------------------------------


def load(work):
    model = Clerk()
    kept = torch.load(work / "checkpoint.pt", weights_only=False)
    model.load_state_dict(kept["model"])
    return model, kept["state"]


@torch.no_grad()
def exact(model, sequences):
    """Which answers come out right, letter for letter. Every token is the likeliest one given the
    right ones before it exactly if greedy generation would write the whole answer."""
    out = []
    for sequence in sequences:
        tokens, positions, parts, place, targets, _ = batch([sequence])
        right, at = model(tokens, positions, parts, place).argmax(-1) == targets, 0
        for _, answer, stated, key in sequence[1]:
            out.append((key, stated, bool(right[at : at + len(answer)].all())))
            at += len(answer)
    return out


def measure(work, a):
    model, state = load(work)
    maker = Maker(Tokenizer.from_file(str(work / "tokenizer.json")))
    if a.bits:
        with torch.no_grad():
            for name, p in model.named_parameters():
                if p.ndim == 2:
                    p.copy_(quantize(p, a.bits, a.group)[3])
    print(f"after {state['tokens']} tokens in {state['seconds']:.0f} s;", f"{a.bits} bits" if a.bits else "f32")
    if a.read:
        answers = {q: answer(model, maker, a.read.read_text(), q) for q in SHIPPED}
        for question, text in answers.items():
            print("right" if text == SHIPPED[question] else "WRONG", question, text)
        return
    for name, size, held in [
        ("short, wordings as in training", 0.2, False),
        ("long, wordings as in training", 1.0, False),
        ("short, wordings never seen", 0.2, True),
        ("long, wordings never seen", 1.0, True),
    ]:
        results = exact(model, [maker.sequence(MEASURE_SEED + i, size, held) for i in range(a.documents)])
        share = lambda pick: "{:5.1f} % of {}".format(
            100 * numpy.mean([r for *k, r in results if pick(*k)] or [0]), len([0 for *k, _ in results if pick(*k)])
        )
        print(f"{name}: stated {share(lambda k, s: s)}, not stated {share(lambda k, s: not s)}")
        print(
            "  ",
            ", ".join(
                f"{key} {share(lambda k, s, key=key: k == key and s).split('%')[0].strip()}" for key in leases.QUESTIONS
            ),
        )


SHIPPED = {
    "Who is the landlord?": "Marlow Quay Estates Ltd",
    "Who is the tenant?": "Fenwick Ceramics Ltd",
    "Where is the property?": "Unit 4, Harbour Works, Dock Road, Port Ellery",
    "What is the date of the lease?": "14 March 2025",
    "When does the lease begin?": "1 April 2025",
    "When does the lease end?": "31 March 2030",
    "How long is the lease?": "five years",
    "What is the monthly rent?": "£1,500.00",
    "What is the deposit?": "£4,500",
    "How much notice must the tenant give?": "six months",
    "What interest is paid on late rent?": "4% a year above the base rate of the Bank of England",
    "What is the grace period?": "fourteen days",
    "What is the permitted use?": "the making, firing and sale of ceramics",
    "What is the floor area?": "212 square metres",
    "Which state's law governs?": leases.ABSENT,
    "What colour is the door?": leases.ABSENT,
}


@torch.no_grad()
def answer(model, maker, text, question, most=64):
    """The answer by greedy generation, for `measure --read`."""
    ids = [DOCUMENT] + maker.ids(" " + text.strip()) + [QUESTION] + maker.ids(" " + question) + [ANSWER]
    start = len(ids)
    while len(ids) < start + most:
        n = len(ids)
        parts = [(n, torch.ones(0, n, dtype=torch.bool))]
        best = model(torch.tensor(ids), torch.arange(n), parts, torch.tensor([n - 1])).argmax().item()
        if best == END:
            break
        ids.append(best)
    return maker.tokenizer.decode(ids[start:])


# --- The checkpoint -----------------------------------------------------------------------------

TEMPLATE = r"""{%- set asked = messages | selectattr('role', 'equalto', 'user') | list -%}
{%- set parts = asked[0].content.split('\n\n', 1) -%}
{%- set question = asked[-1].content if asked | length > 1 else parts[0] -%}
<|document|> {{ parts[1] if parts | length > 1 else '' }}<|question|> {{ question | trim }}<|answer|>"""


def export(work, a):
    model, _ = load(work)
    a.folder.mkdir(exist_ok=True)
    bits, group = a.bits or 8, a.group
    tensors = {}
    for name, p in model.named_parameters():
        name = "model." + name
        if p.ndim == 2:
            path = name.removesuffix(".weight")
            tensors[name], tensors[path + ".scales"], tensors[path + ".biases"], _ = quantize(p, bits, group)
        else:
            tensors[name] = p.detach().half()
    save_file(
        {n: t.contiguous() for n, t in sorted(tensors.items())},
        a.folder / "model.safetensors",
        metadata={"format": "mlx"},
    )
    (a.folder / "model.safetensors").chmod(0o644)
    packing = {"group_size": group, "bits": bits, "mode": "affine"}
    files = {
        "config.json": {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "vocab_size": VOCABULARY,
            "hidden_size": WIDTH,
            "intermediate_size": INNER,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": HEADS,
            "rms_norm_eps": EPSILON,
            "rope_theta": THETA,
            "hidden_act": "silu",
            "max_position_embeddings": 4096,
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": END,
            "torch_dtype": "float16",
            "quantization": packing,
            "quantization_config": packing,
        },
        "generation_config.json": {"do_sample": False, "eos_token_id": [END], "max_new_tokens": 64},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": SPECIAL[END],
            "model_max_length": 4096,
            "clean_up_tokenization_spaces": False,
            "chat_template": TEMPLATE,
        },
    }
    for name, content in files.items():
        (a.folder / name).write_text(json.dumps(content, indent=2) + "\n")
    (a.folder / "tokenizer.json").write_text((work / "tokenizer.json").read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "work", type=pathlib.Path, help="the folder of tokenizer.json, checkpoint.pt and train.log"
    )
    parser.add_argument("what", choices=["train", "measure", "export"])
    parser.add_argument("folder", type=pathlib.Path, nargs="?", help="where the checkpoint goes")
    parser.add_argument("--million", type=float, default=30, help="tokens of the whole training")
    parser.add_argument(
        "--minutes", type=float, default=1e9, help="stop after so many; it goes on from there next time"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--documents", type=int, default=100, help="to measure with, of each kind")
    parser.add_argument("--bits", type=int, choices=[4, 8], help="measure these weights, or export them")
    parser.add_argument("--read", type=pathlib.Path, help="ask about the shipped lease instead: its markdown")
    parser.add_argument("--group", type=int, default=64)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    a.work.mkdir(exist_ok=True)
    if not (a.work / "tokenizer.json").exists():
        make_tokenizer(a.work / "tokenizer.json")
    {"train": train, "measure": measure, "export": export}[a.what](a.work, a)


if __name__ == "__main__":
    main()
