//! Pages by their tokens and what came before them.

use std::collections::BTreeMap;

use super::Kind;
use super::shelf::Beginning;

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

    /// The way in which sequences are computed that begin here.
    fn way(self) -> Option<u8> {
        let kinds = [(false, false), (true, false), (false, true), (true, true)];
        let kind = |(beyond, alone)| Self::beginning(Kind { beyond, alone }) == self;
        kinds.into_iter().position(kind).map(|way| way as u8)
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
    /// The page at each place.
    pages: BTreeMap<NodeId, u32>,
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
        self.pages.insert(node, page);
        node
    }

    /// Whether `page` is in the tree.
    pub(super) fn has(&self, page: u32) -> bool {
        self.edges.contains_key(&page)
    }

    /// Takes `page` out. What was below it can no longer be found.
    pub(super) fn remove(&mut self, page: u32) {
        if let Some(edge) = self.edges.remove(&page)
            && let Some((node, _)) = self.children.remove(&edge)
        {
            self.pages.remove(&node);
        }
    }

    /// All tokens up to the end of `page`, if all pages before it are in the tree.
    pub(super) fn beginning_of(&self, page: u32) -> Option<Beginning> {
        let (parent, tokens) = self.edges.get(&page)?;
        let (mut parent, mut chunks) = (*parent, vec![tokens]);
        let way = loop {
            if let Some(way) = parent.way() {
                break way;
            }
            let (before, tokens) = self.edges.get(self.pages.get(&parent)?)?;
            parent = *before;
            chunks.push(tokens);
        };
        let tokens = chunks.into_iter().rev().flatten().copied().collect();
        Some(Beginning { way, tokens })
    }
}
