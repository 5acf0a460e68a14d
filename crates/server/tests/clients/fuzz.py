"""Asks a server what its own description lets be asked, and what it does not: nothing is a 5xx, what is wrong is a 4xx, and
answers are as they are described. Usage: fuzz.py ADDRESS KEY FOLDER SECONDS
"""

import json
import pathlib
import subprocess
import sys
import urllib.request

ADDRESS, KEY, FOLDER, SECONDS = sys.argv[1:]
MODELS = ["llama", "bert"]
INDEXES = ["lease"]
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "ignored_auth",
]


def narrowed(document):
    """The same with names of models and indexes that are there; the models have so few positions that no answer is long."""
    for schema in document["components"]["schemas"].values():
        field = schema.get("properties", {}).get("model", {})
        if field.get("type") == "string":
            field["enum"] = MODELS
        if "index" in schema.get("properties", {}) and "query" in schema["properties"]:
            schema["properties"]["index"] = {"enum": INDEXES}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] == "name" and path.startswith("/v1/indexes/"):
                    parameter["schema"]["enum"] = INDEXES
    return document


folder = pathlib.Path(FOLDER).resolve()
folder.mkdir(parents=True, exist_ok=True)
with urllib.request.urlopen(f"{ADDRESS}/openapi.json", timeout=20) as answer:
    document = narrowed(json.load(answer))
written = folder / "openapi.json"
written.write_text(json.dumps(document))
program = pathlib.Path(sys.executable).with_name("schemathesis")
ask = [program, "run", written, "--url", ADDRESS, "-H", f"Authorization: Bearer {KEY}", "--workers", "1"]
ask += ["--phases", "coverage,fuzzing", "--max-examples", "12", "--generation-deterministic", "--max-time", SECONDS, "--request-timeout", "60"]
ask += ["--checks", ",".join(CHECKS), "--suppress-health-check", "all", "--no-shrink", "--continue-on-failure"]
# JSON-RPC answers in words of its own, and is tried by its own clients.
ask += ["--exclude-path", "/mcp", "--report", "ndjson", "--report-dir", folder]
# What it remembers of earlier runs lies with what it tells.
sys.exit(subprocess.run(ask, cwd=folder, check=False).returncode)
