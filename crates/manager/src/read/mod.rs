//! Reading documents: what `documents` leaves to whoever runs it.

pub mod store;
