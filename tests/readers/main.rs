//! The readers of tables, IDX files and checkpoints: an example for each rule, round trips, damaged files.
#![allow(clippy::unwrap_used)]

mod encode;
mod fuzz;
mod idx;
mod table;
