//! Tables from CSV and TSV text, and their encoding as `f32` features and targets.
//!
//! [`read_table`] turns text into a [`Table`]; [`Encoder::fit`] decides once, from the training table, how each column
//! becomes numbers, and the [`Encoder`] then applies the same decisions to any later table.
//! No error message contains a path: the caller knows it and puts it in front.

mod apply;
mod cells;
mod fit;
mod guess;
mod lines;
mod read;
mod settings;

pub use apply::{EncodedTargets, MOST_VALUES};
pub use cells::{Column, Table, TableOptions};
pub use fit::{Encoder, MOST_CATEGORIES};
pub use read::{MOST_COLUMNS, read_table};
pub use settings::TableSettings;
