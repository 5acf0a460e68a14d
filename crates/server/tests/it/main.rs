//! The server, asked as clients ask it, over tiny models.

mod chat;
mod described;
mod dialects;
mod files;
mod finding;
mod flights;
mod house;
mod mcp;
mod refusals;
mod responses;
mod routes;
mod vectors;
mod web;
mod wire;
