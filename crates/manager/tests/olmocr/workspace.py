"""Workspaces that folio and olmOCR work at together: in a folder, and in moto's S3.

    python workspace.py PROGRAM FOLDER

PROGRAM is the example `workspace` of `manager`; what is under FOLDER is removed. Everything on Python's side is olmOCR's own
code.
"""

import asyncio
import json
import os
import pathlib
import random
import shutil
import string
import subprocess
import sys
import time

import boto3
from moto.server import ThreadedMotoServer
from olmocr.s3_utils import expand_s3_glob, get_s3_bytes
from olmocr.work_queue import LocalBackend, S3Backend, WorkQueue

PROGRAM, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
BUCKET = "shelf"
wrong = []
checked = []


def ours(address, *words):
    """What folio answers."""
    done = subprocess.run([PROGRAM, address, *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{words}: {done.stderr}")
    return json.loads(done.stdout)


def check(what, found, wanted):
    checked.append(what)
    if found != wanted:
        wrong.append(what)
        print(f"WRONG {what}\n  found  {found!r}\n  wanted {wanted!r}")


class Local:
    """A workspace in a folder."""

    def __init__(self, name):
        self.address = str(FOLDER / name)

    def queue(self):
        return WorkQueue(LocalBackend(self.address))

    def result(self, group):
        return (pathlib.Path(self.address) / "results" / f"output_{group}.jsonl").read_text()

    def write_result(self, group, text):
        path = pathlib.Path(self.address) / "results" / f"output_{group}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def lock(self, group, age):
        path = pathlib.Path(self.address) / "worker_locks" / f"worker_{group}.lock"
        path.touch()
        os.utime(path, (time.time() - age, time.time() - age))

    def names(self):
        root = pathlib.Path(self.address)
        return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and p.name != ".changing")


class Remote:
    """A workspace in an object store."""

    def __init__(self, name, client):
        self.client, self.prefix = client, name
        self.address = f"s3://{BUCKET}/{name}"

    def queue(self):
        return WorkQueue(S3Backend(self.client, self.address))

    def result(self, group):
        return get_s3_bytes(self.client, f"{self.address}/results/output_{group}.jsonl").decode()

    def write_result(self, group, text):
        key = f"{self.prefix}/results/output_{group}.jsonl"
        self.client.put_object(Bucket=BUCKET, Key=key, Body=text.encode())

    def names(self):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=self.prefix + "/")
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return sorted(key[len(self.prefix) + 1 :] for key in keys)


def groups(queue):
    lines = asyncio.run(queue.backend.load_index_lines())
    return [[group, paths] for group, paths in queue._parse_index_lines(lines).items()]


async def everything(queue, write):
    """Takes and finishes what olmOCR's queue gives."""
    await queue.initialize_queue()
    taken = []
    while (item := await queue.get_work()) is not None:
        write(item.hash, json.dumps({"text": "theirs", "metadata": {"Source-File": item.work_paths[0]}}) + "\n")
        await queue.mark_done(item)
        taken.append(item.hash)
    return taken


def together(place, names, lists):
    """Both add documents and work at them in turn."""
    where = place.address
    # Ours first, read by them; then theirs, read by us.
    mine = ours(where, "add", "3", lists(names[:10]))
    check(f"{where}: they read our index", groups(place.queue()), mine)
    asyncio.run(place.queue().populate_queue(names[5:20], 4))
    theirs = groups(place.queue())
    check(f"{where}: we read their index", ours(where, "show"), theirs)
    check(f"{where}: ours come first", theirs[: len(mine)], mine)
    # The same documents in an empty place get the same groups from both.
    again = ours(where, "add", "4", lists(names))
    check(f"{where}: they read what we added to theirs", groups(place.queue()), again)
    check(f"{where}: nothing is there twice", sorted(p for _, paths in again for p in paths), sorted(names))

    # A group that we hold is not taken by them, and the other way round.
    held, _ = ours(where, "claim")
    queue = place.queue()
    asyncio.run(queue.initialize_queue())
    item = asyncio.run(queue.get_work())
    check(f"{where}: they take another group than we hold", item.hash != held, True)
    left = {group for group, _ in again} - {held, item.hash}
    done = set(ours(where, "work", "ours \U0001d4b3 é"))
    check(f"{where}: we leave what is held, by them and by another of us", done, left)
    # They finish theirs, and take up what we let lie once it is stale.
    place.write_result(item.hash, json.dumps({"text": "theirs", "metadata": {"Source-File": item.work_paths[0]}}))
    asyncio.run(queue.mark_done(item))
    check(f"{where}: nothing is left for them but what is held", asyncio.run(everything(place.queue(), place.write_result)), [])
    if isinstance(place, Local):
        place.lock(held, 1790)
        check(f"{where}: a lock of 1790 s holds for us", ours(where, "claim"), "wait")
        place.lock(held, 1802)
        check(f"{where}: one of 1802 s does not", ours(where, "claim")[0], held)
        place.lock(held, 1802)
        check(f"{where}: nor for them", asyncio.run(everything(place.queue(), place.write_result)), [held])
        check(f"{where}: nothing is left for us", ours(where, "claim"), "empty")
    # What we wrote is what Python reads.
    paths = dict(map(lambda entry: (entry[0], entry[1]), again))
    for group in done:
        documents = [json.loads(line) for line in place.result(group).splitlines()]
        check(f"{where}: documents of {group}", [d["metadata"]["Source-File"] for d in documents], paths[group])
        for document in documents:
            text = document["text"]
            pages = [text[start:end] for start, end, _ in document["attributes"]["pdf_page_numbers"]]
            check(f"{where}: pages", pages, ["ours \U0001d4b3 é 1\n", "ours \U0001d4b3 é 2"])
    stats = ours(where, "stats")
    finished = len(again) if isinstance(place, Local) else len(again) - 1
    check(f"{where}: numbers", (stats["groups"], stats["done"]), (len(again), finished))
    kinds = {name.split("/")[0] for name in place.names()}
    wanted = {"done_flags", "results", "work_index_list.csv.zstd"}
    check(f"{where}: what lies there", kinds - {"worker_locks"}, wanted)


def odd_names(seed, count):
    """Paths of letters that CSV, shells and encodings trip over."""
    chance = random.Random(seed)
    letters = string.ascii_letters + " ,,\"\"'\t;|\\éü日本\U0001d4b3\u00a0"
    names = {"".join(chance.choices(letters, k=chance.randint(1, 30))).strip() + ".pdf" for _ in range(count)}
    return sorted("/data/" + name for name in names)


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    counter = iter(range(10**6))

    def lists(names):
        path = FOLDER / f"list{next(counter)}.txt"
        path.write_text("\n".join(names), encoding="utf-8")
        return str(path)

    for seed in range(3):
        together(Local(f"local{seed}"), odd_names(seed, 30), lists)
    many = odd_names(99, 5000)
    place = Local("many")
    check("many: they read our index", groups(place.queue()), [])
    check("many: and ours", groups(Local("many").queue()), [] if not many else ours(place.address, "show"))
    mine = ours(place.address, "add", "7", lists(many))
    check("many: they read five thousand odd paths", groups(place.queue()), mine)
    other = Local("many-theirs")
    asyncio.run(other.queue().populate_queue(many, 7))
    check("many: they make the same groups", groups(other.queue()), mine)
    check("many: and we read theirs", ours(other.address, "show"), mine)

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ.update(
        AWS_ENDPOINT_URL=f"http://{host}:{port}",
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_DEFAULT_REGION="us-east-1",
    )
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    for seed in range(3, 5):
        together(Remote(f"deep er/remote{seed}", client), odd_names(seed, 30), lists)
    # What they put there is found by patterns as they find it.
    keys = ["in/a.pdf", "in/b c.pdf", "in/deep/c.pdf", "in/d.PDF", "in/[x].pdf", "in/é.pdf", "in/x+y&z.pdf", "in/50%.pdf", "in/set.tgz"]
    for key in keys:
        client.put_object(Bucket=BUCKET, Key=key, Body=b"%PDF-1.4")
    for number, pattern in enumerate(["in/*.pdf", "in/*", "in/[a-b]*.pdf", "in/[!a]*.pdf", "*/*/*.pdf", "in/a.pdf"]):
        address = f"s3://{BUCKET}/{pattern}"
        theirs = sorted(expand_s3_glob(client, address))
        found = ours(str(FOLDER / f"glob{number}"), "add", "100", address)
        check(f"pattern {pattern}", sorted(p for _, paths in found for p in paths), theirs)
    server.stop()
    print(f"{len(wrong)} of {len(checked)} things are wrong" if wrong else f"folio and olmOCR work together: {len(checked)} things")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
