"""Makes tokenizers of the size that published ones have: `tokenizers_of_size.py OUT CORPUS...`.

Published tokenizers cannot be kept in the repository, and how long one takes to open depends on its size: on how many
tokens and merges there are and how long they are. These have the counts, the splitting rules, the flags and the special
tokens of their models; what the tokens say is learnt from CORPUS (folders of any text files) and from made-up words of
many scripts, so that there is no letter of an alphabet that they cannot spell shortly.

    qwen2     byte-level, 151,643 tokens, a merge for each but the bytes, NFC
    llama3    byte-level, 128,000 tokens, every way to split a token is a merge, words that are tokens are not merged
    gemma     SentencePiece-like with bytes for unknown letters, 262,144 tokens, every split a merge
    llama2    the same with 32,000 tokens and a space before the text

Each is written to OUT/NAME/tokenizer.json, with a tokenizer_config.json. Needs PyPI's `tokenizers`.
"""

import json
import pathlib
import random
import sys

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = CONTRACTIONS + r"\p{N}" + REST
LLAMA3 = CONTRACTIONS + r"\p{N}{1,3}" + REST
SCRIPTS = [
    (0x61, 0x7A), (0xE0, 0xFF), (0x3B1, 0x3C9), (0x430, 0x44F), (0x5D0, 0x5EA), (0x627, 0x64A), (0x905, 0x939),
    (0xE01, 0xE2E), (0x10D0, 0x10F0), (0x3041, 0x3096), (0x30A1, 0x30FA), (0x4E00, 0x5FFF), (0xAC00, 0xB3FF),
]


def made_up(rng, megabytes):
    """Lines of words that were never said: each script has its own list, from which words come as they do in texts."""
    words = []
    for first, last in SCRIPTS:
        letters = [chr(c) for c in range(first, last + 1) if chr(c).isalpha()]
        parts = ["".join(rng.choices(letters, k=rng.randint(1, 3))) for _ in range(600)]
        words.append(["".join(rng.choices(parts, k=rng.randint(1, 4))) for _ in range(30_000)])
    left = megabytes * 1_000_000
    while left > 0:
        own = rng.choice(words)
        line = " ".join(own[int(len(own) * rng.random() ** 3)] for _ in range(12))
        left -= len(line.encode())
        yield line


def corpus(folders, megabytes):
    left = megabytes * 1_000_000
    for folder in folders:
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if left < 0 or path.suffix not in {".rs", ".md", ".txt", ".py", ".toml", ".html", ".c", ".h"}:
                continue
            try:
                text = path.read_text(encoding="utf-8")
            except (UnicodeDecodeError, OSError):
                continue
            left -= len(text)
            yield text[:1_000_000]


def train(folders, pre_tokenizer, alphabet, size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=1, initial_alphabet=alphabet, show_progress=False, limit_alphabet=12_000,
        max_token_length=40,
    )

    def texts():
        yield from corpus(folders, 60)
        yield from made_up(random.Random(7), 30)

    tokenizer.train_from_iterator(texts(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    assert len(model["vocab"]) == size, f"the corpus is too small: {len(model['vocab'])} tokens of {size}"
    return model


def every_split(vocab):
    """Each way to make a token of two, in the order of the tokens made: how a list of ranks becomes a list of merges."""
    merges = []
    for token, rank in vocab.items():
        ways = [(token[:at], token[at:]) for at in range(1, len(token))]
        ways = [(vocab[a], vocab[b], [a, b]) for a, b in ways if a in vocab and b in vocab]
        merges.extend((rank, *way) for way in ways)
    return [pair for _, _, _, pair in sorted(merges)]


def added(content, number, special=True):
    return {"id": number, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": special}


def write(out, name, parts, config):
    folder = pathlib.Path(out) / name
    folder.mkdir(parents=True, exist_ok=True)
    whole = {"version": "1.0", "truncation": None, "padding": None, **parts}
    model = whole["model"]
    text = json.dumps(whole, ensure_ascii=False, indent=2)
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    Tokenizer.from_file(str(folder / "tokenizer.json"))
    print(f"{name}: {len(model['vocab'])} tokens, {len(model['merges'])} merges, {len(text.encode()) / 1e6:.1f} MB")


def bpe(vocab, merges, **settings):
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False}
    return {**model, **settings, "vocab": vocab, "merges": merges}


def byte_level(pattern):
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, level]}, {**level, "use_regex": True}


def ordered(model):
    return dict(sorted(model["vocab"].items(), key=lambda entry: entry[1]))


def qwen2(out, folders):
    split = pre_tokenizers.Split(Regex(QWEN2), behavior="isolated")
    both = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    model = train(folders, both, pre_tokenizers.ByteLevel.alphabet(), 151_643)
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>"]
    names += [f"<|{kind}_{end}|>" for kind in ("box", "quad", "vision") for end in ("start", "end")]
    names += ["<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
    plain = ["<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
             "<|repo_name|>", "<|file_sep|>"]
    tokens = [added(name, 151_643 + at) for at, name in enumerate(names)]
    tokens += [added(name, 151_643 + len(names) + at, special=False) for at, name in enumerate(plain)]
    before, level = byte_level(QWEN2)
    merges = [f"{a} {b}" for a, b in model["merges"]]
    parts = {"added_tokens": tokens, "normalizer": {"type": "NFC"}, "pre_tokenizer": before, "post_processor": level,
             "decoder": level, "model": bpe(ordered(model), merges, continuing_subword_prefix="",
                                            end_of_word_suffix="")}
    declared = {str(token["id"]): {key: value for key, value in token.items() if key != "id"} for token in tokens}
    write(out, "qwen2", parts, {"added_tokens_decoder": declared, "eos_token": "<|im_end|>",
                                "pad_token": "<|endoftext|>", "bos_token": None, "model_max_length": 131072})


def llama3(out, folders):
    split = pre_tokenizers.Split(Regex(LLAMA3), behavior="isolated")
    both = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    vocab = ordered(train(folders, both, pre_tokenizers.ByteLevel.alphabet(), 128_000))
    names = ["<|begin_of_text|>", "<|end_of_text|>"] + [f"<|reserved_special_token_{at}|>" for at in range(247)]
    names += ["<|finetune_right_pad_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>",
              "<|python_tag|>", "<|image|>"]
    tokens = [added(name, 128_000 + at) for at, name in enumerate(names)]
    before, level = byte_level(LLAMA3)
    bos = {"id": names[0], "ids": [128_000], "tokens": [names[0]]}
    text = [{"SpecialToken": {"id": names[0], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    second = [{"SpecialToken": {"id": names[0], "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}]
    template = {"type": "TemplateProcessing", "single": text, "pair": text + second,
                "special_tokens": {names[0]: bos}}
    merges = [f"{a} {b}" for a, b in every_split(vocab)]
    parts = {"added_tokens": tokens, "normalizer": None, "pre_tokenizer": before,
             "post_processor": {"type": "Sequence", "processors": [level, template]},
             "decoder": {**level, "add_prefix_space": True}, "model": bpe(vocab, merges, ignore_merges=True)}
    write(out, "llama3", parts, {"bos_token": names[0], "eos_token": "<|eot_id|>", "model_max_length": 131072})


def sentencepiece(folders, size, names):
    """A vocabulary as SentencePiece orders it: named tokens, bytes, learnt tokens, then single letters."""
    learnt = size - len(names) - 256
    model = train(folders, pre_tokenizers.Metaspace(prepend_scheme="always"), [], learnt + 100)
    tokens = [token for token in sorted(model["vocab"], key=model["vocab"].get) if token not in names]
    letters = [token for token in tokens if len(token) == 1]
    tokens = [token for token in tokens if len(token) > 1][: learnt - len(letters)] + letters
    spelled = names + [f"<0x{byte:02X}>" for byte in range(256)] + tokens
    vocab = {token: at for at, token in enumerate(spelled)}
    assert len(vocab) == size
    only = {token: number for token, number in vocab.items() if number >= len(names) + 256}
    return vocab, every_split(only)


def strip(start):
    return {"type": "Strip", "content": " ", "start": start, "stop": 0}


def sentencepiece_decoder(more):
    replace = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    return {"type": "Sequence", "decoders": [replace, {"type": "ByteFallback"}, {"type": "Fuse"}, *more]}


def with_bos(number, name):
    bos, text = {"SpecialToken": {"id": name, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    second = [{"SpecialToken": {"id": name, "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}]
    return {"type": "TemplateProcessing", "single": [bos, text], "pair": [bos, text, *second],
            "special_tokens": {name: {"id": name, "ids": [number], "tokens": [name]}}}


SPACES = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}


def gemma(out, folders):
    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "[multimodal]"] + [f"<unused{at}>" for at in range(99)]
    names += ["<start_of_turn>", "<end_of_turn>"] + ["\n" * at for at in range(1, 32)]
    names += ["▁" * at for at in range(2, 32)] + ["<table>", "<caption>", "<tr>", "<td>", "<h1>", "<strong>"]
    names += [f"<unused{at}>" for at in range(99, 6242)]
    vocab, merges = sentencepiece(folders, 262_144, names)
    tokens = [added(name, at, special=name.startswith(("<pad", "<eos", "<bos", "<unk", "<start", "<end")))
              for at, name in enumerate(names)]
    split = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    parts = {"added_tokens": tokens, "normalizer": SPACES, "pre_tokenizer": split,
             "post_processor": with_bos(2, "<bos>"), "decoder": sentencepiece_decoder([]),
             "model": bpe(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)}
    write(out, "gemma", parts, {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"})


def llama2(out, folders):
    vocab, merges = sentencepiece(folders, 32_000, ["<unk>", "<s>", "</s>"])
    tokens = [added(name, at) for at, name in enumerate(["<unk>", "<s>", "</s>"])]
    normalizer = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, SPACES]}
    parts = {"added_tokens": tokens, "normalizer": normalizer, "pre_tokenizer": None,
             "post_processor": with_bos(1, "<s>"), "decoder": sentencepiece_decoder([strip(1)]),
             "model": bpe(vocab, [f"{a} {b}" for a, b in merges], unk_token="<unk>", fuse_unk=True,
                          byte_fallback=True)}
    write(out, "llama2", parts, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    for make in (llama2, qwen2, llama3, gemma):
        make(sys.argv[1], sys.argv[2:])
