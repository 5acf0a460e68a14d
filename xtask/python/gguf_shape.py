"""A GGUF file of the shape of a checkpoint, with random weights, to measure llama.cpp with.

    python gguf_shape.py CHECKPOINT FILE.gguf

CHECKPOINT is what `cargo xtask shape` made of a Qwen2.5 shape; only its config.json is read.
Matrices are Q4_0: 4 bits and one f16 scale for 32 weights, 4.5 bits per weight, as many as affine
codes of 4 bits in groups of 64 have. Needs the package `gguf`.
"""

import json
import pathlib
import sys

import gguf
import numpy


def q4_0(random, rows, columns):
    """Blocks of a scale and 16 bytes of codes; the spread of a weight is 1 / sqrt(columns)."""
    blocks = random.integers(0, 256, (rows, columns // 32, 18), dtype=numpy.uint8)
    # Codes 0..15 less 8 have the standard deviation 4.61.
    scale = random.uniform(0.5, 1.5, (rows, columns // 32, 1)) / (4.61 * columns**0.5)
    blocks[..., :2] = scale.astype("<f2").view(numpy.uint8)
    return blocks.reshape(rows, -1)


def main():
    checkpoint, out = map(pathlib.Path, sys.argv[1:])
    config = json.loads((checkpoint / "config.json").read_text())
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    kv_heads, wide = config["num_key_value_heads"], config["intermediate_size"]
    layers, vocabulary = config["num_hidden_layers"], config["vocab_size"]
    random = numpy.random.default_rng(1)

    writer = gguf.GGUFWriter(str(out), "qwen2")
    writer.add_block_count(layers)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(wide)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(vocabulary)
    writer.add_tokenizer_model("no_vocab")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)

    def matrix(name, rows, columns):
        data = q4_0(random, rows, columns)
        writer.add_tensor(f"{name}.weight", data, raw_dtype=gguf.GGMLQuantizationType.Q4_0)

    def ones(name):
        writer.add_tensor(f"{name}.weight", numpy.ones(hidden, numpy.float32))

    def bias(name, extent):
        numbers = random.uniform(-0.02, 0.02, extent).astype(numpy.float32)
        writer.add_tensor(f"{name}.bias", numbers)

    matrix("token_embd", vocabulary, hidden)
    ones("output_norm")
    if not config["tie_word_embeddings"]:
        matrix("output", vocabulary, hidden)
    kv = hidden // heads * kv_heads
    for layer in range(layers):
        at = f"blk.{layer}"
        ones(f"{at}.attn_norm")
        ones(f"{at}.ffn_norm")
        for name, rows in (("attn_q", hidden), ("attn_k", kv), ("attn_v", kv)):
            matrix(f"{at}.{name}", rows, hidden)
            bias(f"{at}.{name}", rows)
        matrix(f"{at}.attn_output", hidden, hidden)
        matrix(f"{at}.ffn_gate", wide, hidden)
        matrix(f"{at}.ffn_up", wide, hidden)
        matrix(f"{at}.ffn_down", hidden, wide)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
