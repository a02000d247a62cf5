//! Data sets: generated (MNIST-1D), read from files of many kinds, divided, and written back.
//!
//! - [`Dataset`], [`Split`], [`Samples`], [`Targets`]: data sets in memory or in files.
//! - [`load`]: a data set from a file or folder of any supported kind; [`Fractions`] divide a single set.
//! - [`mnist1d`]: the MNIST-1D generator, equal to the published data set.
//! - [`load_folder`] and [`save_folder`]: folders of `.npy` files.
//! - [`npy`]: single `.npy` files; [`npz`]: archives of them; [`table`]: CSV and TSV; [`idx`]: IDX files; [`load_text`]: texts as tokens;
//!   [`files`]: atomic file writes.
//! - [`numpy_rng`]: NumPy's legacy random streams, which the generator needs.
//!
//! ```
//! use wgrad::data::{Mnist1dConfig, Mnist1dPreset};
//! let config = Mnist1dConfig::paper().with_num_samples(100).with_seed(7);
//! let data = wgrad::data::generate(&config)?.dataset(Mnist1dPreset::Paper)?;
//! assert_eq!((data.train.rows(), data.train.features(), data.classes), (80, 40, 10));
//! # Ok::<(), wgrad::Error>(())
//! ```

mod arrays;
mod dataset;
pub mod files;
pub mod folder;
mod fractions;
pub mod idx;
mod idx_files;
pub mod mnist1d;
pub mod npy;
pub mod npz;
pub mod numpy_rng;
mod raw;
mod raw_samples;
mod samples;
mod source;
pub mod table;
mod tensors;
mod text;

pub use arrays::MAX_CLASSES;
pub use dataset::{Dataset, Split, TargetKind, Targets};
pub use files::atomic_write;
pub use folder::{load_folder, save_folder, write_mnist1d};
pub use fractions::Fractions;
pub use mnist1d::{Mnist1d, Mnist1dConfig, Mnist1dPreset, SplitRanges, generate};
pub use numpy_rng::RandomState;
pub use raw::{RawFormat, RawType};
pub use samples::Samples;
pub use source::{SourceOptions, load};
pub use table::Encoder as TableEncoder;
pub use text::{TextOptions, TokenKind, Vocabulary, load_text};
