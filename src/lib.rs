//! **wgrad** trains on any GPU and lets you trust the numbers.

#[macro_use]
mod array;
pub mod data;
mod dtype;
mod error;
mod shape;

pub use array::{Array, Data};
pub use dtype::{DType, Element};
pub use error::{Error, Result};
pub use shape::{Axes, MAX_ELEMENTS, MAX_RANK, Shape, TensorType, View};
