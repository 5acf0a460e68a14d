//! The Model Context Protocol: what models of this machine can do, as tools for programs that think for themselves.
//!
//! A tool is a file and a line in `TOOLS`. What it takes is a table (`schema`) that both its schema and the check are
//! made of; what it returns is an object with a schema, and the same as text for clients that read nothing else. A fault is
//! an answer that says so, in words that a model can act on. Who gives up a call ends the work: the future is dropped, and
//! the model's answer with it.

mod asking;
mod code;
mod document;
pub(crate) mod files;
mod generate;
mod mount;
mod pages;
mod prefix;
mod schema;
mod search;
mod sight;
mod status;
mod summary;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use manager::find::{Library, Offer};
use manager::flight::{self, Flight, Head};
use manager::house::House;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, ServerCapabilities,
    ServerConfig, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};

use crate::documents::Readings;
use crate::fault::Fault;
use crate::gate::Client;
use crate::number;
use crate::state::RuleBook;
pub use files::Files;
pub(crate) use mount::router;
pub use mount::stdio;
use schema::{Arguments, Field};

/// A tool.
struct Tool {
    name: &'static str,
    title: &'static str,
    about: &'static str,
    takes: &'static [Field],
    returns: fn() -> Value,
    run: fn(Call) -> Running,
}

/// What a tool returns: an object, and what clients are shown beside it.
struct Returned {
    value: Value,
    beside: Vec<ContentBlock>,
}

impl From<Value> for Returned {
    fn from(value: Value) -> Self {
        Self { value, beside: Vec::new() }
    }
}

/// The work of a call.
type Running = Pin<Box<dyn Future<Output = Result<Returned, Fault>> + Send>>;

/// A call of a tool, its arguments checked.
struct Call {
    house: Arc<House>,
    files: Arc<Files>,
    readings: Arc<Readings>,
    library: Arc<Library>,
    /// The indexes that may be asked.
    indexes: Offer,
    arguments: Arguments,
    context: RequestContext<RoleServer>,
    client: Client,
}

/// Every tool, a line each.
const TOOLS: &[Tool] = &[
    status::CHECK,
    status::MODELS,
    generate::GENERATE,
    status::HARDWARE,
    code::DOCUMENTATION,
    code::QUALITY,
    summary::SUMMARY,
    document::READ,
    search::SEARCH,
];

const INSTRUCTIONS: &str = "Models that run on this machine, over MLX where there is a GPU for it. Nothing leaves the \
machine unless its owner has named servers elsewhere. Each answer says which model gave it, and what a budget cut.";

impl Tool {
    /// As clients are told of it.
    fn told(&self) -> rmcp::model::Tool {
        let returns = (self.returns)().as_object().cloned().unwrap_or_default();
        let input = Arc::new(schema::schema(self.takes));
        let annotations = ToolAnnotations::with_title(self.title)
            .read_only(true)
            .destructive(false)
            .open_world(false);
        rmcp::model::Tool::new(self.name, self.about, input)
            .with_title(self.title)
            .with_raw_output_schema(Arc::new(returns))
            .with_annotations(annotations)
    }
}

/// What speaks the protocol: cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Mcp {
    house: Arc<House>,
    rules: RuleBook,
    readings: Arc<Readings>,
    library: Arc<Library>,
}

impl Mcp {
    pub(crate) fn new(
        house: Arc<House>,
        rules: RuleBook,
        readings: Arc<Readings>,
        library: Arc<Library>,
    ) -> Self {
        Self { house, rules, readings, library }
    }

    async fn call(
        &self,
        tool: &Tool,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<Returned, Fault> {
        let arguments = Arguments::read(tool.takes, request.arguments.unwrap_or_default())?;
        let parts = context.extensions.get::<axum::http::request::Parts>();
        let client = parts.and_then(|parts| parts.extensions.get::<Client>()).cloned();
        let client = client.unwrap_or_default();
        let given_up = context.ct.clone();
        let rules = self.rules.now();
        let run = (tool.run)(Call {
            house: Arc::clone(&self.house),
            files: Arc::new(rules.files.clone()),
            readings: Arc::clone(&self.readings),
            library: Arc::clone(&self.library),
            indexes: rules.indexes.clone(),
            arguments,
            context,
            client,
        });
        tokio::select! {
            biased;
            () = given_up.cancelled() => Err(Fault::invalid("the call was cancelled")),
            done = run => done,
        }
    }
}

impl ServerHandler for Mcp {
    fn get_info(&self) -> ServerConfig {
        let offers = ServerCapabilities::builder().enable_tools().enable_resources().build();
        ServerConfig::new(offers)
            .with_server_info(Implementation::new("folio", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(TOOLS.iter().map(Tool::told).collect()))
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        pages::list(&self.library, &self.rules.now()).await
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(pages::templates()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let read = pages::read(&self.library, &self.rules.now(), &request.uri).await?;
        Ok(ReadResourceResult::new(vec![read]).into())
    }

    fn get_tool(&self, name: &str) -> Option<rmcp::model::Tool> {
        TOOLS.iter().find(|tool| tool.name == name).map(Tool::told)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = TOOLS.iter().find(|tool| tool.name == request.name) else {
            let known: Vec<_> = TOOLS.iter().map(|tool| tool.name).collect();
            let message =
                format!("unknown tool `{}`; there are: {}", request.name, known.join(", "));
            return Err(ErrorData::invalid_params(message, None));
        };
        // The protocol's own tasks stand between the request and this call.
        let sent = context.extensions.get::<axum::http::request::Parts>();
        let flight = sent.and_then(|parts| parts.extensions.get::<Flight>()).cloned();
        let flight = flight.unwrap_or_else(|| {
            self.house.flights().begin(Head {
                id: number::name("req_"),
                method: "MCP".to_owned(),
                path: tool.name.to_owned(),
            })
        });
        let calling = flight::recorded(flight, self.call(tool, request, context));
        let result = match calling.await {
            Ok(Returned { value, beside }) => {
                let mut result = CallToolResult::structured(value);
                result.content.extend(beside);
                result
            }
            Err(fault) => CallToolResult::error(vec![ContentBlock::text(fault.message)]),
        };
        Ok(result.into())
    }
}

/// The schema of an object that has all of `properties` but those in `free`.
fn object(properties: Value, free: &[&str]) -> Value {
    let all = properties.as_object().into_iter().flat_map(|map| map.keys());
    let needed: Vec<_> = all.filter(|name| !free.contains(&name.as_str())).cloned().collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": needed,
        "additionalProperties": false,
    })
}
