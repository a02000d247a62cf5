//! Data sets: generated (MNIST-1D), read from a folder of `.npy` files, and written back.
//!
//! - [`Dataset`] and [`Split`]: data sets in memory (f32 samples, integer labels).
//! - [`mnist1d`]: the MNIST-1D generator, equal to the published data set.
//! - [`load_folder`] and [`save_folder`]: folders of `.npy` files.
//! - [`npy`]: single `.npy` files; [`npz`]: archives of them; [`files`]: atomic file writes.
//! - [`numpy_rng`]: NumPy's legacy random streams, which the generator needs.
//!
//! ```
//! use wgrad::data::{Mnist1dConfig, Mnist1dPreset};
//! let config = Mnist1dConfig::paper().with_num_samples(100).with_seed(7);
//! let data = wgrad::data::generate(&config)?.dataset(Mnist1dPreset::Paper)?;
//! assert_eq!((data.train.rows, data.train.features, data.classes), (80, 40, 10));
//! # Ok::<(), wgrad::Error>(())
//! ```

mod dataset;
pub mod files;
pub mod folder;
pub mod mnist1d;
pub mod npy;
pub mod npz;
pub mod numpy_rng;

pub use dataset::{Dataset, Split};
pub use files::atomic_write;
pub use folder::{load_folder, save_folder, write_mnist1d};
pub use mnist1d::{Mnist1d, Mnist1dConfig, Mnist1dPreset, SplitRanges, generate};
pub use numpy_rng::RandomState;
