//! Which layers look back over a window only.

use serde::Deserialize;

use crate::{Remember, Result, Scope};

/// `layer_types`: whether each layer looks back over a window only, or over everything.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct LayerTypes(Vec<String>);

impl LayerTypes {
    /// Fails unless there is a kind that is known for each of `layers`.
    pub(crate) fn check(&self, scope: &Scope<'_>, layers: usize) -> Result<()> {
        let found = self.0.len();
        scope.expect(found == layers, "layer_types", found, "one for each layer")?;
        let known = |kind: &str| ["full_attention", "sliding_attention"].contains(&kind);
        let other = self.0.iter().find(|kind| !known(kind)).map_or("", String::as_str);
        let all = self.0.iter().all(|kind| known(kind));
        scope.expect(all, "layer_types", other, "full_attention or sliding_attention")
    }

    /// Whether `layer` looks back over a window only.
    pub(crate) fn slides(&self, layer: usize) -> bool {
        self.0.get(layer).is_some_and(|kind| kind == "sliding_attention")
    }
}

/// The fields of a configuration that say which layers do, and how far. To be flattened into an architecture's own.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct WindowConfig {
    #[serde(default)]
    use_sliding_window: bool,
    sliding_window: Option<usize>,
    #[serde(default)]
    max_window_layers: usize,
    layer_types: Option<LayerTypes>,
}

impl WindowConfig {
    /// Fails if `layer_types` does not fit `layers`.
    pub(crate) fn check(&self, scope: &Scope<'_>, layers: usize) -> Result<()> {
        self.layer_types.as_ref().map_or(Ok(()), |types| types.check(scope, layers))
    }

    /// Fails if windows are switched on, for architectures where programs disagree on which layers
    /// have one.
    pub(crate) fn refuse(&self, scope: &Scope<'_>, architecture: &'static str) -> Result<()> {
        if self.use_sliding_window {
            return Err(scope.unsupported(architecture, "use_sliding_window", true));
        }
        Ok(())
    }

    /// How far back `layer` looks: over the window from `max_window_layers` on, or where
    /// `layer_types` says so, unless windows are switched off.
    pub(crate) fn remember(&self, layer: usize) -> Remember {
        let slides = match &self.layer_types {
            Some(types) => types.slides(layer),
            None => layer >= self.max_window_layers,
        };
        match self.sliding_window {
            Some(window) if self.use_sliding_window && slides && window > 0 => {
                Remember::Sliding(window)
            }
            _ => Remember::Full,
        }
    }
}
