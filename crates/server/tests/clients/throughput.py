"""Compares how fast servers answer several streams at once, on the same machine in the same run.

    python throughput.py [--streams 1,4,16] [--prompt 128] [--tokens 128] [--rounds 5] NAME=URL=MODEL...

Each NAME=URL=MODEL is a server that speaks OpenAI's `/v1/completions`. In every round each server answers the same number of
streams, one server after the other, in an order that turns with the round, so that what else the machine does meets all
of them. Every stream has a prompt of its own of so many tokens and goes on for exactly so many. Told are medians
over the rounds of: tokens a second of all streams together, prompt tokens not counted, over the time from the first
request to the last token; seconds to the first token, the median over the streams; and the ratio to the last server
named. KEY in the environment is sent as the key.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import time

import httpx

parser = argparse.ArgumentParser()
parser.add_argument("--streams", default="1,4,16")
parser.add_argument("--prompt", type=int, default=128)
parser.add_argument("--tokens", type=int, default=128)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("servers", nargs="+")
asked = parser.parse_args()
servers = [server.split("=", 2) for server in asked.servers]
headers = {"authorization": f"Bearer {os.environ.get('KEY', 'none')}"}


def prompt(seed):
    """Tokens that no other stream has in this order: nothing of it is in a cache, and each server reads as many."""
    chance = random.Random(seed)
    return [chance.randrange(10, 250) for _ in range(asked.prompt)]


async def stream(client, url, model, seed):
    """Seconds to the first token and to the end, tokens of the prompt and of the answer."""
    body = {
        "model": model,
        "prompt": prompt(seed),
        "max_tokens": asked.tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    begun, first, usage = time.perf_counter(), None, None
    async with client.stream("POST", f"{url}/v1/completions", json=body) as reply:
        if reply.status_code != 200:
            raise SystemExit(f"{url}: {reply.status_code} {(await reply.aread()).decode()}")
        async for line in reply.aiter_lines():
            if not line.startswith("data: ") or line == "data: [DONE]":
                continue
            event = json.loads(line[6:])
            usage = event.get("usage") or usage
            if first is None and event.get("choices"):
                first = time.perf_counter() - begun
    if usage is None or usage["completion_tokens"] != asked.tokens:
        raise SystemExit(f"{url}: asked for {asked.tokens} tokens, got {usage}")
    return first, usage["prompt_tokens"]


async def together(url, model, many, seed):
    """Tokens a second of `many` streams, the median time to the first token, and tokens of a prompt."""
    async with httpx.AsyncClient(headers=headers, timeout=600) as client:
        begun = time.perf_counter()
        told = await asyncio.gather(*(stream(client, url, model, seed + n) for n in range(many)))
        took = time.perf_counter() - begun
    first = statistics.median(first for first, _ in told)
    return many * asked.tokens / took, first, statistics.median(tokens for _, tokens in told)


async def main():
    seed = 0
    for _, url, model in servers:
        seed += 1000
        await together(url, model, 2, seed)
    print(f"{'streams':>7}  {'server':<16} {'tokens/s':>9} {'first token':>12} {'prompt':>7}  beside {servers[-1][0]}")
    for many in map(int, asked.streams.split(",")):
        told = {name: [] for name, _, _ in servers}
        for round_ in range(asked.rounds):
            turn = round_ % len(servers)
            for name, url, model in servers[turn:] + servers[:turn]:
                seed += 1000
                told[name].append(await together(url, model, many, seed))
        middle = {name: [statistics.median(column) for column in zip(*rows)] for name, rows in told.items()}
        last = middle[servers[-1][0]]
        for name, (rate, first, tokens) in middle.items():
            print(f"{many:>7}  {name:<16} {rate:>9.1f} {first:>10.3f} s {tokens:>7.0f}  {rate / last[0]:.2f} x")


asyncio.run(main())
