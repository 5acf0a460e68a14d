//! Which layers look back over a window only.

use serde::Deserialize;

use crate::Remember;

/// The fields of a configuration that say so. To be flattened into an architecture's own.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct WindowConfig {
    #[serde(default)]
    use_sliding_window: bool,
    sliding_window: Option<usize>,
    #[serde(default)]
    max_window_layers: usize,
    layer_types: Option<Vec<String>>,
}

impl WindowConfig {
    /// How far back `layer` looks: over the window from `max_window_layers` on, or where
    /// `layer_types` says so, unless windows are switched off.
    pub(crate) fn remember(&self, layer: usize) -> Remember {
        let slides = match &self.layer_types {
            Some(types) => types.get(layer).is_some_and(|kind| kind == "sliding_attention"),
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
