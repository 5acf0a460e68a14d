//! Files people have, made into pages, blocks and passages.
