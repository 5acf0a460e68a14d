"""Asks a server as people's own programs do, with the clients that their makers publish.

    python ask.py ADDRESS KEY PROGRAM PDF     (ADDRESS: http://127.0.0.1:PORT; PROGRAM: folio; PDF: lease.pdf)

The server offers the tiny models of this repository: what they say is nonsense, how it comes is what is looked at. Ends
with the number of things that were tried; anything that is not as it should be is an AssertionError.
"""

import asyncio
import base64
import json
import os
import struct
import sys
import urllib.error
import urllib.request

import anthropic
import ollama
import openai
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client

ADDRESS, KEY, PROGRAM, PDF = sys.argv[1:5]
MODEL, EMBEDDER = "qwen3", "bert"
SAY = [{"role": "user", "content": "Say something."}]
TOOL = {
    "name": "weather",
    "description": "Tells the weather of a place.",
    "parameters": {
        "type": "object",
        "properties": {"place": {"type": "string"}},
        "required": ["place"],
    },
}


def small_pdf():
    """One page that says one thing."""
    words = b"BT /F1 12 Tf 72 700 Td (The rent is 400.) Tj ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(words), words),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, places = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = (len(places) + 1, table, len(places) + 1, len(out))
    return out + b"xref\n0 %d\n0000000000 65535 f \n%btrailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % end


SMALL_PDF = small_pdf()
tried = 0


def ok(holds, what):
    global tried
    assert holds, what
    tried += 1


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def ask_openai():
    client = openai.OpenAI(base_url=f"{ADDRESS}/v1", api_key=KEY, max_retries=0)
    names = [model.id for model in client.models.list()]
    ok(MODEL in names and EMBEDDER in names, names)
    ok(client.models.retrieve(MODEL).id == MODEL, "retrieve")
    ask = {"model": MODEL, "messages": SAY, "max_tokens": 10, "temperature": 0}
    whole = client.chat.completions.create(**ask)
    text = whole.choices[0].message.content
    ok(whole.choices[0].finish_reason == "length" and whole.usage.completion_tokens == 10, whole)
    parts, usage = [], None
    for chunk in client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}):
        parts += [choice.delta.content for choice in chunk.choices if choice.delta.content]
        usage = chunk.usage or usage
    ok("".join(parts) == text, (parts, text))
    ok(usage.total_tokens == whole.usage.total_tokens, usage)
    three = client.chat.completions.create(**{**ask, "temperature": 1}, n=3, seed=1)
    ok([choice.index for choice in three.choices] == [0, 1, 2], three)
    tools = [{"type": "function", "function": TOOL}]
    ok(client.chat.completions.create(**ask, tools=tools).choices, "tools")
    schema = {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"], "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
    formed = client.chat.completions.create(**{**ask, "max_tokens": 60}, response_format=form)
    ok(isinstance(json.loads(formed.choices[0].message.content)["yes"], bool), formed)
    answer = client.responses.create(model=MODEL, input="Say something.", max_output_tokens=10, temperature=0)
    ok(answer.output_text == text and answer.status == "incomplete", answer)
    events = list(client.responses.create(model=MODEL, input="Say something.", max_output_tokens=10, temperature=0, stream=True))
    ok("".join(event.delta for event in events if event.type == "response.output_text.delta") == text, events)
    ok(events[-1].response.output_text == text, events[-1])
    more = client.responses.create(model=MODEL, input="More.", previous_response_id=answer.id, max_output_tokens=5)
    ok(more.usage.input_tokens > answer.usage.input_tokens, more)
    ok(client.responses.retrieve(answer.id).output_text == text, "retrieve")
    client.responses.delete(answer.id)
    ok(raises(openai.NotFoundError, lambda: client.responses.retrieve(answer.id)).status_code == 404, "delete")
    told = client.chat.completions.create(**ask, logprobs=True, top_logprobs=2).choices[0].logprobs.content
    ok(len(told) == 10 and all(token.logprob == token.top_logprobs[0].logprob for token in told), told)
    plain = client.completions.create(model=MODEL, prompt="One two", max_tokens=5, temperature=0)
    ok(plain.choices[0].text and plain.usage.completion_tokens == 5, plain)
    with open(PDF, "rb") as pdf:
        file = client.files.create(file=pdf, purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600})
    ok(file.filename == "lease.pdf" and file.id in [one.id for one in client.files.list()], file)
    ok(client.files.content(file.id).content.startswith(b"%PDF") and client.files.retrieve(file.id) == file, file)
    part = {"type": "input_file", "file_id": file.id}
    turn = {"role": "user", "content": [part, {"type": "input_text", "text": "Who lets the flat?"}]}
    read = client.responses.create(model=MODEL, input=[turn], max_output_tokens=3)
    ok(read.usage.input_tokens > 200, read.usage)
    small = base64.b64encode(SMALL_PDF).decode()
    part = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{small}", "filename": "small.pdf"}}
    turn = {"role": "user", "content": [part, {"type": "text", "text": "What does it say?"}]}
    read = client.chat.completions.create(**{**ask, "messages": [turn]})
    told = "[Document: small.pdf]\n\nThe rent is 400.\n\n[End of small.pdf]\n"
    turn = {"role": "user", "content": [{"type": "text", "text": told}, {"type": "text", "text": "What does it say?"}]}
    ok(read.choices[0].message.content == client.chat.completions.create(**{**ask, "messages": [turn]}).choices[0].message.content, read)
    ok(client.files.delete(file.id).deleted, "delete")
    texts = ["a text", "another one"]
    # The client asks for base64 itself, and decodes it.
    vectors = client.embeddings.create(model=EMBEDDER, input=texts)
    ok(len(vectors.data) == 2 and len(vectors.data[0].embedding) == len(vectors.data[1].embedding), vectors)
    raw = client.embeddings.create(model=EMBEDDER, input=texts, encoding_format="base64").data[1].embedding
    raw = base64.b64decode(raw) if isinstance(raw, str) else struct.pack(f"<{len(raw)}f", *raw)
    ok(raw == struct.pack(f"<{len(raw) // 4}f", *vectors.data[1].embedding), "base64")
    error = raises(openai.NotFoundError, lambda: client.chat.completions.create(**{**ask, "model": "nobody"}))
    ok(error.code == "model_not_found" and "qwen3" in str(error), error)
    error = raises(openai.BadRequestError, lambda: client.chat.completions.create(**ask, extra_body={"hue": 1}))
    ok(error.param == "hue", error)
    error = raises(openai.BadRequestError, lambda: client.completions.create(model=MODEL, prompt="a " * 9000))
    ok(error.code == "context_length_exceeded", error)
    stranger = openai.OpenAI(base_url=f"{ADDRESS}/v1", api_key="wrong", max_retries=0)
    ok(raises(openai.AuthenticationError, lambda: stranger.models.list()).status_code == 401, "key")


async def ask_openai_at_once():
    client = openai.AsyncOpenAI(base_url=f"{ADDRESS}/v1", api_key=KEY, max_retries=0)

    async def one(seed):
        parts = []
        stream = await client.chat.completions.create(
            model=MODEL, messages=SAY, max_tokens=20, temperature=1, seed=seed, stream=True
        )
        async for chunk in stream:
            parts += [choice.delta.content for choice in chunk.choices if choice.delta.content]
        return "".join(parts)

    together = await asyncio.gather(*(one(seed) for seed in range(16)))
    alone = [await one(seed) for seed in range(16)]
    ok(together == alone, "a seed's answer does not depend on its neighbours")
    # Who leaves in the middle leaves nothing behind.
    stream = await client.chat.completions.create(model=MODEL, messages=SAY, max_tokens=200, stream=True)
    async for _ in stream:
        break
    await stream.close()
    ok(await one(3) == alone[3], "after a hang-up")


def ask_anthropic():
    client = anthropic.Anthropic(base_url=ADDRESS, api_key=KEY, max_retries=0)
    ask = {"model": MODEL, "messages": SAY, "max_tokens": 10, "extra_body": {"temperature": 0}}
    whole = client.messages.create(**ask, system="Be brief.")
    ok(whole.content[0].type == "text" and whole.stop_reason == "max_tokens", whole)
    ok(whole.usage.output_tokens == 10, whole.usage)
    with client.messages.stream(**ask, system="Be brief.") as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    ok(text == whole.content[0].text == final.content[0].text, (text, final))
    ok(final.usage.output_tokens == 10 and final.stop_reason == "max_tokens", final)
    count = client.messages.count_tokens(model=MODEL, messages=SAY, system="Be brief.")
    ok(count.input_tokens == whole.usage.input_tokens + whole.usage.cache_read_input_tokens, count)
    tool = {"name": "weather", "description": "x", "input_schema": TOOL["parameters"]}
    turns = SAY + [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "weather", "input": {"place": "Ulm"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "rain"}]},
    ]
    ok(client.messages.create(**{**ask, "messages": turns}, tools=[tool]).content, "tools")
    error = raises(anthropic.NotFoundError, lambda: client.messages.create(**{**ask, "model": "nobody"}))
    ok(error.body["error"]["type"] == "not_found_error", error.body)
    error = raises(anthropic.BadRequestError, lambda: client.messages.create(**{**ask, "extra_body": {"hue": 1}}))
    ok("hue" in str(error), error)


def ask_ollama():
    client = ollama.Client(host=ADDRESS, headers={"authorization": f"Bearer {KEY}"})
    ok(MODEL in [model.model for model in client.list().models], "list")
    options = {"num_predict": 10, "temperature": 0}
    whole = client.chat(model=MODEL, messages=SAY, options=options)
    ok(whole.done and whole.done_reason == "length" and whole.eval_count == 10, whole)
    parts = list(client.chat(model=MODEL, messages=SAY, options=options, stream=True))
    ok("".join(part.message.content for part in parts) == whole.message.content, parts)
    ok(client.generate(model=MODEL, prompt="Say something.", options=options).response == whole.message.content, "generate")
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["n"], "additionalProperties": False}
    formed = client.chat(model=MODEL, messages=SAY, format=schema, options={"num_predict": 60})
    ok(0 <= json.loads(formed.message.content)["n"] <= 9, formed)
    vectors = client.embed(model=EMBEDDER, input=["a text", "another one"]).embeddings
    ok(len(vectors) == 2, vectors)
    ok(list(client.embeddings(model=EMBEDDER, prompt="another one").embedding) == list(vectors[1]), "embeddings")
    shown = client.show(MODEL)
    ok("completion" in shown.capabilities, shown)
    ok(MODEL in [model.model for model in client.ps().models], "ps")
    tools = [{"type": "function", "function": TOOL}]
    ok(client.chat(model=MODEL, messages=SAY, tools=tools, options=options).message, "tools")
    error = raises(ollama.ResponseError, lambda: client.chat(model="nobody", messages=SAY))
    ok(error.status_code == 404, error)


def ask_search():
    """Pages of an index, for which nobody's client is made: as anybody would ask for JSON."""

    def ask(path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(ADDRESS + path, data, headers), timeout=60) as answer:
            return answer.read(), answer.headers["content-type"]

    index = json.loads(ask("/v1/indexes")[0])["data"][0]
    ok(index["id"] == "lease" and index["ready"] and index["documents"] == 1 and index["failed_pages"] == 0, index)
    ok([(made["finds_by"], made["served_as"]) for made in index["encoders"]] == [("meaning", EMBEDDER)], index)
    hits = json.loads(ask("/v1/search", {"query": "who pays the rent", "texts": True})[0])
    first = hits["hits"][0]
    ok(first["name"] == "lease.pdf" and "path" not in first and "rent" in first["text"].lower(), hits)
    ok(hits["route"] == "words and meaning" and hits["models"] == [EMBEDDER], hits)
    image, kind = ask(first["preview"])
    ok(kind.startswith("image/") and len(image) > 1000, kind)
    vectors = json.loads(ask("/v1/rerank", {"model": "xlm-roberta", "query": "rent", "documents": ["the rent", "keys"]})[0])
    ok(vectors["scoring"] == "maxsim-mean" and len(vectors["results"]) == 2, vectors)
    error = raises(urllib.error.HTTPError, lambda: ask("/v1/search", {"query": "rent", "index": "none"}))
    ok(error.code == 404 and "lease" in error.read().decode(), error)


async def ask_mcp(server, mode):
    """Tools, by a client that checks each answer against the tool's schema."""
    async with Client(server, mode=mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        ok(len(tools) == 9 and all(tool.annotations.read_only_hint for tool in tools.values()), tools)
        status = (await client.call_tool("check_mlx_status", {})).structured_content
        ok(status["device"]["backend"] == "cpu", status)
        models = (await client.call_tool("list_mlx_models", {})).structured_content
        ok(MODEL in [model["name"] for model in models["models"]], models)
        ok((await client.call_tool("get_mlx_hardware_info", {})).structured_content["cores_usable"] > 0, "hardware")
        notes = []

        async def progress(done, total, message):
            notes.append((done, total))

        ask = {"prompt": "Say something.", "model": MODEL, "max_tokens": 600}
        said = await client.call_tool("generate_with_mlx", ask, progress_callback=progress)
        ok(said.structured_content["model"] == MODEL and said.structured_content["text"], said)
        ok(notes and notes == sorted(notes), notes)
        for tool, more in [
            ("generate_code_documentation", {"code": "def f(x): return x"}),
            ("analyze_code_quality", {"code": "def f(x): return x", "language": "python"}),
            ("enhance_context_summary", {"text": "We chose Rust. Who writes the tests?"}),
        ]:
            told = await client.call_tool(tool, {**more, "model": MODEL, "max_tokens": 200})
            ok(not told.is_error and isinstance(told.structured_content["complete"], bool), told)
        bad = await client.call_tool("generate_with_mlx", {"prompt": "a", "max_tokens": 0})
        ok(bad.is_error and "max_tokens" in bad.content[0].text, bad)
        found = await client.call_tool("search_documents", {"query": "rent", "images": 1, "limit": 2})
        ok(not found.is_error and found.structured_content["hits"][0]["name"] == "lease.pdf", found)
        kinds = [block.type for block in found.content]
        ok(kinds[:3] == ["text", "text", "image"], kinds)
        page = (await client.read_resource(found.structured_content["hits"][0]["image"])).contents[0]
        ok(page.mime_type.startswith("image/") and base64.b64decode(page.blob), page)
        listed = (await client.list_resources()).resources
        ok([str(resource.uri) for resource in listed] == ["folio://indexes/lease"], listed)
        ok(len((await client.list_resource_templates()).resource_templates) == 2, "templates")
        shut = await client.call_tool("read_document", {"path": "/etc/passwd"})
        ok(shut.is_error and "--allow-root" in shut.content[0].text, shut)


def mcp_over_http():
    http = create_mcp_http_client(headers={"authorization": f"Bearer {KEY}"})
    return streamable_http_client(f"{ADDRESS}/mcp", http_client=http)


def mcp_over_stdio():
    kept = {name: value for name, value in os.environ.items() if name.startswith(("FOLIO_", "HF_", "XDG_"))}
    return StdioServerParameters(command=PROGRAM, args=["mcp", "--index", "lease"], env=kept)


ask_openai()
asyncio.run(ask_openai_at_once())
ask_anthropic()
ask_ollama()
ask_search()
for mode in ["auto", "legacy"]:
    asyncio.run(ask_mcp(mcp_over_http(), mode))
asyncio.run(ask_mcp(mcp_over_stdio(), "auto"))
print(f"{tried} passed, 0 failed")
