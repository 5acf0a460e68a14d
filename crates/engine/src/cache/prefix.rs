//! Pages by their tokens and what came before them.

use std::collections::BTreeMap;

use super::Kind;

/// A page's place in the tree; the default is the beginning of every sequence. Numbers are never
/// used again, so a place whose page was given away leads nowhere.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct NodeId(u64);

impl NodeId {
    /// The beginning of every sequence that is computed in this way.
    pub(super) fn beginning(kind: Kind) -> Self {
        Self(match (kind.beyond, kind.alone) {
            (false, false) => 0,
            (true, false) => u64::MAX,
            (false, true) => u64::MAX - 1,
            (true, true) => u64::MAX - 2,
        })
    }
}

/// Where an edge begins, and the tokens along it.
type Edge = (NodeId, Box<[u32]>);

/// A tree whose edges are the tokens of a page. Whole tokens are compared, not hashes of them: two
/// prompts never share a page by accident.
#[derive(Debug, Default)]
pub(super) struct PrefixTree {
    children: BTreeMap<Edge, (NodeId, u32)>,
    /// The edge that leads to each page.
    edges: BTreeMap<u32, Edge>,
    made: u64,
}

impl PrefixTree {
    /// The page that holds `tokens` after `parent`.
    pub(super) fn child(&self, parent: NodeId, tokens: &[u32]) -> Option<(NodeId, u32)> {
        self.children.get(&(parent, tokens.into())).copied()
    }

    /// Adds `page`, which holds `tokens` after `parent`.
    pub(super) fn insert(&mut self, parent: NodeId, tokens: &[u32], page: u32) -> NodeId {
        self.made += 1;
        let node = NodeId(self.made);
        self.children.insert((parent, tokens.into()), (node, page));
        self.edges.insert(page, (parent, tokens.into()));
        node
    }

    /// Whether `page` is in the tree.
    pub(super) fn has(&self, page: u32) -> bool {
        self.edges.contains_key(&page)
    }

    /// Takes `page` out. What was below it can no longer be found.
    pub(super) fn remove(&mut self, page: u32) {
        if let Some(edge) = self.edges.remove(&page) {
            self.children.remove(&edge);
        }
    }
}
