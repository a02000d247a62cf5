//! The examples of the course: every number that they print is compared with its golden value, or with an independent computation.
#![allow(clippy::unwrap_used)]
// Each example has the module that they share.
#![allow(clippy::duplicate_mod)]

mod convolution;
mod coursework;
mod decoding;
mod deep;
mod distances;
mod gradients;
mod hand_written;
mod losses;
mod mnist1d_table;
mod shallow;
mod training;
