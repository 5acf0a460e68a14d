//! The tools that a model was offered.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

/// Tools by name, each with the JSON schema of its parameters. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tools {
    schemas: Arc<BTreeMap<String, Value>>,
}

impl Tools {
    /// From the array that chat templates read ([`RenderOptions::tools`](crate::RenderOptions::tools)). An entry without a
    /// name is left out: what is wrong with a request is for whoever takes it to say.
    pub fn new(tools: Option<&Value>) -> Self {
        let list = tools.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let schemas = list
            .iter()
            .filter_map(|tool| {
                let function = tool.get("function").unwrap_or(tool);
                let name = function.get("name")?.as_str()?.to_owned();
                Some((name, function.get("parameters").cloned().unwrap_or(Value::Null)))
            })
            .collect();
        Self { schemas: Arc::new(schemas) }
    }

    /// Only the tool of this name, or none.
    #[must_use]
    pub fn only(&self, name: &str) -> Self {
        let found = self.schemas.get_key_value(name);
        let schemas = found.into_iter().map(|(name, schema)| (name.clone(), schema.clone()));
        Self { schemas: Arc::new(schemas.collect()) }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.schemas.is_empty()
    }

    /// The schema of the parameters of a tool, `null` where it has none; none if there is no such tool.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.schemas.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.schemas.iter().map(|(name, schema)| (name.as_str(), schema))
    }
}
