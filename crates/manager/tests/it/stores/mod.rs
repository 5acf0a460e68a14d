//! An index moved to servers, and asked there: against small stand-ins, which compare all pages one by one; and, where a user
//! names a server, against that one. See docs/stores.md.

mod failures;
mod live;
mod moving;
mod samples;
mod weaviate;
