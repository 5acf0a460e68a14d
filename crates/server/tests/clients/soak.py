"""Lets many clients at a server for a while, and looks whether it stays itself.

    python soak.py ADDRESS KEY PID LIMIT MINUTES MODEL... [--embed MODEL]... [--see MODEL]...

PID is the server's process, LIMIT its `--memory` in bytes; the models do not all fit, so that they come and go. Chats
whole and streamed, about text and about images, embeddings, clients that hang up, malformed requests and models that are
let go run side by side. What
is looked at, every half second: that the process stays below the limit; at the end: that every request had one answer,
whole or refused in words, that no file, thread or model in use is left over, and that the same question has the same
answer as at the beginning. Prints a table; anything that is not as it should be is named, and the exit is 1.
"""

import asyncio
import base64
import json
import os
import random
import struct
import sys
import time
import zlib

import httpx

arguments = sys.argv[1:]
address, key, pid, limit, minutes = arguments[0], arguments[1], int(arguments[2]), int(arguments[3]), float(arguments[4])
models, embedders, seers, into = [], [], [], None
for word in arguments[5:]:
    if word in ("--embed", "--see"):
        into = embedders if word == "--embed" else seers
    else:
        (models if into is None else into).append(word)
        into = None

counts, faults, samples = {}, [], []
headers = {"authorization": f"Bearer {key}"}
until = time.monotonic() + minutes * 60


def count(what):
    counts[what] = counts.get(what, 0) + 1


def fault(what):
    count("FAULT")
    if len(faults) < 20:
        faults.append(what)


def resident():
    with open(f"/proc/{pid}/status") as status:
        lines = dict(line.split(":", 1) for line in status)
    return int(lines["VmRSS"].split()[0]) * 1024, int(lines["Threads"])


def files():
    return len(os.listdir(f"/proc/{pid}/fd"))


def chat(seed, **more):
    model = random.choice(models)
    said = [{"role": "user", "content": f"Question {seed % 7}: " + "word " * random.randrange(1, 200)}]
    return {"model": model, "messages": said, "max_tokens": random.randrange(1, 48), "seed": seed, **more}


async def whole(client, seed):
    reply = await client.post("/v1/chat/completions", json=chat(seed))
    body = reply.json()
    if reply.status_code == 200:
        if len(body["choices"]) != 1 or body["choices"][0]["finish_reason"] not in ("stop", "length"):
            fault(f"a whole answer: {body}")
        count("whole")
    elif reply.status_code in (429, 503) and "retry-after" in reply.headers:
        count("refused, overloaded")
    else:
        fault(f"whole: {reply.status_code} {body}")


async def streamed(client, seed, hang_up=False):
    ask = chat(seed, stream=True, stream_options={"include_usage": True})
    ends, done, events = 0, 0, 0
    async with client.stream("POST", "/v1/chat/completions", json=ask) as reply:
        if reply.status_code != 200:
            await reply.aread()
            if reply.status_code in (429, 503):
                return count("refused, overloaded")
            return fault(f"stream: {reply.status_code} {reply.text}")
        async for line in reply.aiter_lines():
            if not line.startswith("data: "):
                continue
            events += 1
            if hang_up and events > seed % 9:
                return count("hung up")
            if line == "data: [DONE]":
                done += 1
                continue
            event = json.loads(line[6:])
            if "error" in event:
                return fault(f"stream: {event}")
            ends += sum(choice["finish_reason"] is not None for choice in event["choices"])
    if (ends, done) != (1, 1):
        fault(f"a stream ended {ends} times, with {done} marks")
    count("streamed")


async def embedded(client, seed):
    texts = ["a text"] * (1 + seed % 16)
    reply = await client.post("/v1/embeddings", json={"model": random.choice(embedders), "input": texts})
    if reply.status_code == 200:
        if len(reply.json()["data"]) != len(texts):
            fault("embeddings are missing")
        count("embedded")
    elif reply.status_code in (429, 503):
        count("refused, overloaded")
    else:
        fault(f"embed: {reply.status_code} {reply.text}")


def image(seed):
    """A PNG of noise, of a size of its own."""
    chance = random.Random(seed)
    width, height = chance.randrange(40, 320), chance.randrange(40, 320)
    rows = b"".join(b"\0" + chance.randbytes(3 * width) for _ in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


async def seen(client, seed):
    # Every fourth image was seen before.
    url = "data:image/png;base64," + base64.b64encode(image(seed if seed % 4 else seed % 32)).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is it?"}]
    said = [{"role": "user", "content": content}]
    ask = {"model": random.choice(seers), "messages": said, "max_tokens": 1 + seed % 12, "seed": seed}
    reply = await client.post("/v1/chat/completions", json=ask)
    if reply.status_code == 200:
        if reply.json()["choices"][0]["finish_reason"] not in ("stop", "length"):
            fault(f"an image: {reply.json()}")
        count("seen")
    elif reply.status_code in (429, 503) and "retry-after" in reply.headers:
        count("refused, overloaded")
    else:
        fault(f"an image: {reply.status_code} {reply.text}")


async def malformed(client, seed):
    body, status = random.choice(
        [
            (b"{", 400),
            (b"", 400),
            (json.dumps(chat(seed, hue=1)).encode(), 400),
            (json.dumps(chat(seed, temperature=-1)).encode(), 400),
            (json.dumps({**chat(seed), "model": "nobody"}).encode(), 404),
            (json.dumps({**chat(seed), "max_tokens": 10**9}).encode(), 400),
            (b"\xff\xfe" * 50, 400),
        ]
    )
    reply = await client.post("/v1/chat/completions", content=body)
    if reply.status_code != status or "message" not in reply.json()["error"]:
        return fault(f"malformed: {reply.status_code} {reply.text}")
    count("malformed")


async def let_go(client, seed):
    reply = await client.post("/api/generate", json={"model": random.choice(models), "keep_alive": 0})
    if reply.status_code != 200:
        return fault(f"let go: {reply.status_code} {reply.text}")
    count("let go")


async def worker(client, number):
    seed = number * 1_000_000
    kinds = [whole] * 4 + [streamed] * 5 + [malformed] * 2 + ([embedded] * 3 if embedders else [])
    kinds += [seen] if seers else []
    while time.monotonic() < until:
        seed += 1
        try:
            draw = random.random()
            if draw < 0.01:
                await let_go(client, seed)
            elif draw < 0.12:
                await streamed(client, seed, hang_up=True)
            else:
                await random.choice(kinds)(client, seed)
        except httpx.HTTPError as error:
            fault(f"{type(error).__name__}: {error}")


async def sampler():
    while time.monotonic() < until:
        bytes_, threads = resident()
        samples.append((bytes_, threads, files()))
        if bytes_ > limit:
            fault(f"the process holds {bytes_ / 1e6:.0f} MB of {limit / 1e6:.0f} MB")
        await asyncio.sleep(0.5)


async def question(client):
    ask = {"model": models[0], "messages": [{"role": "user", "content": "The same."}], "max_tokens": 16, "temperature": 0}
    reply = await client.post("/v1/chat/completions", json=ask)
    return reply.json()["choices"][0]["message"]["content"]


async def main():
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=600, limits=limits) as client:
        first = await question(client)
    idle_files, idle_threads = files(), resident()[1]
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=600, limits=limits) as client:
        await asyncio.gather(sampler(), *(worker(client, number) for number in range(1, 17)))
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=600, limits=limits) as client:
        # Whoever hung up is gone by now, or never will be.
        for _ in range(100):
            list_ = (await client.get("/v1/models")).json()["data"]
            used = [model["id"] for model in list_ if model.get("users")]
            if not used:
                break
            await asyncio.sleep(0.1)
        if used:
            fault(f"still in use: {used}")
        if await question(client) != first:
            fault("the same question has another answer")
        memory = (await client.get("/v1/memory")).json()
    await asyncio.sleep(1)
    left_files, left_threads = files(), resident()[1]
    # Threads for blocking work stay a while; files do not.
    if left_files > idle_files + 4:
        fault(f"{left_files - idle_files} files are left open")
    if left_threads > idle_threads + 512:
        fault(f"{left_threads - idle_threads} threads are left")
    for what in sorted(counts):
        print(f"{what:24} {counts[what]:>8}")
    most = max(sample[0] for sample in samples)
    print(f"{'memory: limit':24} {limit / 1e6:>8.0f} MB")
    print(f"{'memory: most held':24} {most / 1e6:>8.0f} MB in {len(samples)} samples")
    print(f"{'memory: most booked':24} {memory['peak'] / 1e6:>8.0f} MB")
    print(f"{'files: idle, at the end':24} {idle_files:>4} {left_files:>4}")
    print(f"{'threads: idle, most, end':24} {idle_threads:>4} {max(sample[1] for sample in samples):>4} {left_threads:>4}")
    for what in faults:
        print(f"FAULT: {what}"[:400])
    print(f"{sum(counts.values()) - counts.get('FAULT', 0)} passed, {counts.get('FAULT', 0)} failed")
    sys.exit(bool(faults))


asyncio.run(main())
