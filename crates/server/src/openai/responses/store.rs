//! Responses that are kept for a while, so that the next request may go on from them. In memory, and bounded: what a person
//! said to a model is nobody else's, and not the disk's.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use manager::{Message, Part};
use serde_json::Value;

use crate::fault::Fault;

/// Responses that are kept at most; the eldest go first.
const MOST: usize = 1000;
/// Bytes that they may take at most, about.
const MOST_BYTES: usize = 256 << 20;

/// All that are kept.
#[derive(Debug, Default)]
pub(crate) struct Store {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_name: BTreeMap<String, One>,
    order: VecDeque<String>,
    bytes: usize,
}

#[derive(Debug)]
struct One {
    owner: u64,
    response: Value,
    /// All that was said up to its end, instructions left out.
    conversation: Vec<Message>,
    bytes: usize,
}

impl Store {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The conversation up to the end of a response.
    ///
    /// # Errors
    ///
    /// If it is not kept, or somebody else's.
    pub(super) fn conversation(&self, owner: u64, id: &str) -> Result<Vec<Message>, Fault> {
        let kept = self.kept();
        let one = kept.by_name.get(id).filter(|one| one.owner == owner);
        one.map(|one| one.conversation.clone())
            .ok_or_else(|| Fault { param: Some("previous_response_id".to_owned()), ..missing(id) })
    }

    /// A response as it was given.
    ///
    /// # Errors
    ///
    /// As [`conversation`](Self::conversation).
    pub(super) fn response(&self, owner: u64, id: &str) -> Result<Value, Fault> {
        let kept = self.kept();
        let one = kept.by_name.get(id).filter(|one| one.owner == owner);
        one.map(|one| one.response.clone()).ok_or_else(|| missing(id))
    }

    /// Forgets a response.
    ///
    /// # Errors
    ///
    /// As [`conversation`](Self::conversation).
    pub(super) fn remove(&self, owner: u64, id: &str) -> Result<(), Fault> {
        let mut kept = self.kept();
        if kept.by_name.get(id).is_none_or(|one| one.owner != owner) {
            return Err(missing(id));
        }
        kept.forget(id);
        kept.order.retain(|name| name != id);
        Ok(())
    }

    fn keep(&self, id: &str, one: One) {
        let mut kept = self.kept();
        kept.bytes += one.bytes;
        kept.by_name.insert(id.to_owned(), one);
        kept.order.push_back(id.to_owned());
        while kept.order.len() > MOST || (kept.bytes > MOST_BYTES && kept.order.len() > 1) {
            let Some(eldest) = kept.order.pop_front() else { return };
            kept.forget(&eldest);
        }
    }
}

impl Kept {
    fn forget(&mut self, id: &str) {
        if let Some(one) = self.by_name.remove(id) {
            self.bytes -= one.bytes;
        }
    }
}

fn missing(id: &str) -> Fault {
    let message = format!("no response `{id}` is kept here: it was not stored, or is too old");
    Fault::of(StatusCode::NOT_FOUND, message)
}

/// What is kept of a response once it has ended.
#[derive(Debug)]
pub(super) struct Keep {
    pub(super) store: Arc<Store>,
    pub(super) owner: u64,
    /// What was said before it.
    pub(super) before: Vec<Message>,
}

impl Keep {
    /// Keeps it.
    pub(super) fn keep(mut self, id: &str, response: &Value, answer: &Message) {
        self.before.push(answer.clone());
        let conversation = self.before;
        let part = |part: &Part| match part {
            Part::Text(text) => text.len(),
            Part::Image(image) => image.bytes().len(),
        };
        let said: usize = conversation.iter().flat_map(|message| &message.content).map(part).sum();
        let bytes = said + response.to_string().len();
        let one = One { owner: self.owner, response: response.clone(), conversation, bytes };
        self.store.keep(id, one);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_eldest_go_first_and_strangers_see_nothing() {
        let store = Arc::new(Store::default());
        for n in 0..MOST + 5 {
            let keep =
                Keep { store: Arc::clone(&store), owner: 1, before: vec![Message::user("x")] };
            keep.keep(&format!("r{n}"), &json!({"n": n}), &Message::assistant("y"));
        }
        assert!(store.response(1, "r4").is_err() && store.response(1, "r5").is_ok());
        assert!(store.response(2, "r5").is_err() && store.remove(2, "r5").is_err());
        assert_eq!(store.conversation(1, "r9").unwrap().len(), 2);
        store.remove(1, "r9").unwrap();
        assert!(store.conversation(1, "r9").is_err());
        let kept = store.kept();
        assert_eq!(kept.bytes, kept.by_name.values().map(|one| one.bytes).sum::<usize>());
        assert_eq!(kept.by_name.len(), kept.order.len());
    }
}
