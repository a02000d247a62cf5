//! The readers of tables, IDX files and checkpoints: an example for each rule, round trips.
#![allow(clippy::unwrap_used)]

mod encode;
mod idx;
mod table;
