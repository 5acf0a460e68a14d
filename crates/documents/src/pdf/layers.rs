//! Optional content: which layers of a document are switched off.

use std::collections::BTreeSet;

use hayro_syntax::object::{Array, Dict, Name, ObjectIdentifier};
use hayro_syntax::xref::XRef;

/// The layers that are off in the document's default configuration.
#[derive(Default)]
pub(super) struct Layers {
    off: BTreeSet<ObjectIdentifier>,
}

impl Layers {
    /// Reads the catalog's `OCProperties`.
    pub(super) fn new(xref: &XRef) -> Self {
        let mut layers = Self::default();
        let Some(properties) =
            xref.get::<Dict<'_>>(xref.root_id()).and_then(|c| c.get::<Dict<'_>>("OCProperties"))
        else {
            return layers;
        };
        let Some(config) = properties.get::<Dict<'_>>("D") else {
            return layers;
        };
        let base_off =
            config.get::<Name<'_>>("BaseState").is_some_and(|state| state.as_ref() == b"OFF");
        if base_off && let Some(all) = properties.get::<Array<'_>>("OCGs") {
            layers.off.extend(references(&all));
        }
        if let Some(on) = config.get::<Array<'_>>("ON") {
            for id in references(&on) {
                layers.off.remove(&id);
            }
        }
        if let Some(off) = config.get::<Array<'_>>("OFF") {
            layers.off.extend(references(&off));
        }
        layers
    }

    /// Whether the entry `key` of `parent`, a group or a membership of groups, is shown.
    pub(super) fn is_shown(&self, parent: &Dict<'_>, key: &[u8]) -> bool {
        if self.off.is_empty() {
            return true;
        }
        if let Some(id) = parent.get_ref(key).map(ObjectIdentifier::from)
            && self.off.contains(&id)
        {
            return false;
        }
        let Some(membership) = parent.get::<Dict<'_>>(key) else {
            return true;
        };
        let groups: Vec<ObjectIdentifier> = match membership.get::<Array<'_>>("OCGs") {
            Some(groups) => references(&groups).collect(),
            None => membership.get_ref("OCGs").map(ObjectIdentifier::from).into_iter().collect(),
        };
        if groups.is_empty() {
            return true;
        }
        let on = groups.iter().filter(|id| !self.off.contains(id)).count();
        match membership.get::<Name<'_>>("P").as_deref() {
            Some(b"AllOn") => on == groups.len(),
            Some(b"AnyOff") => on < groups.len(),
            Some(b"AllOff") => on == 0,
            _ => on > 0,
        }
    }
}

fn references(array: &Array<'_>) -> impl Iterator<Item = ObjectIdentifier> {
    array.raw_iter().filter_map(|item| item.as_obj_ref()).map(ObjectIdentifier::from)
}
