//! Every endpoint once more, with what it takes and what it gives.

use schemars::{Schema, SchemaGenerator};

use crate::{anthropic, documents, finding, flight, ollama, openai, rerank, told};

/// An endpoint.
pub(super) struct Route {
    pub(super) method: &'static str,
    /// With the names of what varies in braces.
    pub(super) path: &'static str,
    /// Whose clients it is for.
    pub(super) tag: &'static str,
    pub(super) about: &'static str,
    /// The body that it reads.
    pub(super) body: Option<Takes>,
    /// The questions that may stand behind the path.
    pub(super) query: Option<Takes>,
    pub(super) gives: Gives,
}

/// The schema of a struct that a handler reads.
pub(super) type Takes = fn(&mut SchemaGenerator) -> Schema;

/// What comes if all is well: JSON in a form that `answers.json` holds, or else.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    Json(&'static str),
    /// With `stream`, events of the second form.
    Events(&'static str, &'static str),
    /// With `stream`, lines of the second form.
    Lines(&'static str, &'static str),
    /// Text of this media type.
    Text(&'static str),
    /// An image.
    Image,
    /// Nothing, and 200.
    Nothing,
    /// Messages of MCP.
    Rpc,
}

use Gives::{Events, Json, Lines, Text};

const OPENAI: &str = "OpenAI";
const ANTHROPIC: &str = "Anthropic";
const OLLAMA: &str = "Ollama";
const DOCUMENTS: &str = "Documents";
const FINDING: &str = "Finding";
const SERVER: &str = "Server";
const TOOLS: &str = "MCP";

const fn get(path: &'static str, tag: &'static str, about: &'static str, gives: Gives) -> Route {
    Route { method: "get", path, tag, about, body: None, query: None, gives }
}

const fn post(
    path: &'static str,
    tag: &'static str,
    body: Takes,
    about: &'static str,
    gives: Gives,
) -> Route {
    Route { method: "post", path, tag, about, body: Some(body), query: None, gives }
}

macro_rules! takes {
    ($kind:ty) => {
        SchemaGenerator::subschema_for::<$kind>
    };
}

/// All that `router` has.
pub(super) static ROUTES: &[Route] = &[
    post(
        "/v1/chat/completions",
        OPENAI,
        takes!(openai::chat::Request),
        "Answers a conversation",
        Events("ChatCompletion", "ChatCompletionChunk"),
    ),
    post(
        "/v1/completions",
        OPENAI,
        takes!(openai::completions::Request),
        "Continues texts",
        Events("Completion", "Completion"),
    ),
    post(
        "/v1/responses",
        OPENAI,
        takes!(openai::responses::Request),
        "Answers, in OpenAI's newer form",
        Events("Response", "ResponseEvent"),
    ),
    get("/v1/responses/{id}", OPENAI, "A response that is kept", Json("Response")),
    Route {
        method: "delete",
        ..get("/v1/responses/{id}", OPENAI, "Forgets a response", Json("Deleted"))
    },
    post(
        "/responses",
        OPENAI,
        takes!(openai::responses::Request),
        "The same as /v1/responses, where MLX-VLM's server has it",
        Events("Response", "ResponseEvent"),
    ),
    Route {
        query: Some(takes!(openai::files::Which)),
        ..get("/v1/files", OPENAI, "The documents that this client has left here", Json("Files"))
    },
    Route {
        method: "post",
        ..get("/v1/files", OPENAI, "Keeps a document, to ask about it by its id", Json("File"))
    },
    get("/v1/files/{id}", OPENAI, "What is known of a document", Json("File")),
    get(
        "/v1/files/{id}/content",
        OPENAI,
        "What a document holds",
        Text("application/octet-stream"),
    ),
    Route {
        method: "delete",
        ..get("/v1/files/{id}", OPENAI, "Removes a document", Json("Deleted"))
    },
    post(
        "/v1/embeddings",
        OPENAI,
        takes!(openai::embeddings::Request),
        "Makes vectors",
        Json("Embeddings"),
    ),
    get("/v1/models", OPENAI, "All models, and where each of them is", Json("Models")),
    get("/v1/models/{name}", OPENAI, "One model", Json("Model")),
    post(
        "/v1/rerank",
        OPENAI,
        takes!(rerank::Request),
        "Orders documents by how well they answer",
        Json("Ranking"),
    ),
    post("/rerank", OPENAI, takes!(rerank::Request), "The same as /v1/rerank", Json("Ranking")),
    post(
        "/v1/documents/read",
        DOCUMENTS,
        takes!(documents::Request),
        "Reads a document, with a vision model for the pages that need one",
        Events("DocumentReading", "DocumentEvent"),
    ),
    Route {
        method: "delete",
        ..get(
            "/v1/documents/read/{id}",
            DOCUMENTS,
            "Ends a reading, by the `x-request-id` of the request that began it",
            Json("Cancelled"),
        )
    },
    post(
        "/v1/search",
        FINDING,
        takes!(finding::Request),
        "Finds pages of an index",
        Json("Search"),
    ),
    get("/v1/indexes", FINDING, "The indexes that are offered", Json("Indexes")),
    get("/v1/indexes/{name}", FINDING, "What is known of an index", Json("Index")),
    Route {
        query: Some(takes!(finding::Which)),
        ..get(
            "/v1/indexes/{name}/documents",
            FINDING,
            "The documents of an index",
            Json("IndexDocuments"),
        )
    },
    get(
        "/v1/indexes/{name}/documents/{document}/pages/{page}",
        FINDING,
        "The words of a page",
        Json("IndexPage"),
    ),
    get(
        "/v1/indexes/{name}/documents/{document}/pages/{page}/preview",
        FINDING,
        "The small image of a page",
        Gives::Image,
    ),
    post(
        "/v1/messages",
        ANTHROPIC,
        takes!(anthropic::messages::Request),
        "Answers a conversation",
        Events("Message", "MessageEvent"),
    ),
    post(
        "/v1/messages/count_tokens",
        ANTHROPIC,
        takes!(anthropic::count::Request),
        "Counts the tokens of a conversation",
        Json("TokenCount"),
    ),
    post(
        "/api/chat",
        OLLAMA,
        takes!(ollama::chat::Request),
        "Answers a conversation",
        Lines("OllamaAnswer", "OllamaAnswer"),
    ),
    post(
        "/api/generate",
        OLLAMA,
        takes!(ollama::generate::Request),
        "Answers a prompt",
        Lines("OllamaAnswer", "OllamaAnswer"),
    ),
    post(
        "/api/embed",
        OLLAMA,
        takes!(ollama::embed::Request),
        "Makes vectors",
        Json("OllamaVectors"),
    ),
    post(
        "/api/embeddings",
        OLLAMA,
        takes!(ollama::embed::Older),
        "Makes one vector",
        Json("OllamaVector"),
    ),
    get("/api/tags", OLLAMA, "All models", Json("OllamaModels")),
    get("/api/ps", OLLAMA, "The models in memory", Json("OllamaModels")),
    post(
        "/api/show",
        OLLAMA,
        takes!(ollama::models::Show),
        "What the files of a model tell",
        Json("OllamaModel"),
    ),
    get(
        "/api/version",
        OLLAMA,
        "The version of Ollama's interface that is spoken",
        Json("Version"),
    ),
    post(
        "/api/pull",
        OLLAMA,
        takes!(ollama::disk::Pull),
        "Fetches a model, if clients may",
        Lines("PullStatus", "PullStatus"),
    ),
    Route {
        method: "delete",
        ..post(
            "/api/delete",
            OLLAMA,
            takes!(ollama::disk::Delete),
            "Removes a model, if clients may",
            Gives::Nothing,
        )
    },
    get("/", OLLAMA, "What Ollama's clients look for first", Text("text/plain")),
    post(
        "/v1/plan",
        SERVER,
        takes!(told::Wanted),
        "What a request for each of these models would do now",
        Json("Plan"),
    ),
    get("/v1/memory", SERVER, "Every byte that is booked", Json("Account")),
    get("/v1/stats", SERVER, "What requests took, by task and by who answered", Json("Stats")),
    Route {
        query: Some(takes!(flight::Which)),
        ..get(
            "/v1/requests",
            SERVER,
            "The records of the last requests",
            Lines("Records", "Record"),
        )
    },
    get("/v1/requests/{id}", SERVER, "The record of one request", Json("Record")),
    get("/health", SERVER, "Whether the process lives", Json("Health")),
    get("/ready", SERVER, "Whether models can be asked", Json("Ready")),
    get("/version", SERVER, "The version of the program", Json("Version")),
    get("/metrics", SERVER, "Counts and times, for Prometheus", Text("text/plain")),
    get("/openapi.json", SERVER, "This description", Json("Anything")),
    get("/docs", SERVER, "This description, to read and to try", Text("text/html")),
    Route { method: "post", ..get("/mcp", TOOLS, "A message to the tools", Gives::Rpc) },
    Route { method: "get", ..get("/mcp", TOOLS, "The messages of a session", Gives::Rpc) },
    Route { method: "delete", ..get("/mcp", TOOLS, "Ends a session", Gives::Rpc) },
];
