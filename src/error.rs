//! The one error type. Every message names what was asked, what was found, and what to do about it.

use std::path::{Path, PathBuf};

/// What can go wrong in wgrad. Nothing a caller passes in panics; it comes back as one of these.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation was given tensors or attributes it cannot take. Recorded at the call, returned by `compile`.
    #[error("{op}: {message}\n  at {location}")]
    Op {
        /// The operation's name, e.g. `matmul`.
        op: String,
        /// What is wrong, with the shapes.
        message: String,
        /// The caller's file, line and column.
        location: String,
    },
    /// A host array, a run's input or a variable does not have the type the program needs.
    #[error("{subject}: {message}")]
    Value {
        /// What was given, e.g. ``input `x` ``.
        subject: String,
        /// What is wrong with it.
        message: String,
    },
    /// A file could not be read, written, or understood.
    #[error("{}: {message}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A setting (from the command line, a TOML file or a builder) is not usable.
    #[error("{setting}: {message}")]
    Config {
        /// The setting's name or path, e.g. `train.batch`.
        setting: String,
        /// What is wrong and what is accepted.
        message: String,
    },
    /// No device of the wanted kind, or the device cannot do what the program needs.
    #[error("device: {0}")]
    Device(String),
    /// The device's limit is too small for the program.
    #[error("{what} needs {needed}, but the device's limit is {limit}: {remedy}")]
    Limit {
        /// What needs it.
        what: String,
        /// How much it needs.
        needed: u64,
        /// How much there is.
        limit: u64,
        /// What the user can do.
        remedy: String,
    },
    /// The device ran out of memory.
    #[error("out of device memory: {0}. Use a smaller batch or a device with more memory")]
    OutOfMemory(String),
    /// The device was lost (driver reset, unplugged, watchdog).
    #[error("the device was lost: {0}. Start the run again; a shorter submission or another device may help")]
    DeviceLost(String),
    /// A computation gave a value that is not a number where one is needed.
    #[error("{0}")]
    NotFinite(String),
    /// A bug in wgrad: a driver rejected a kernel, or an invariant does not hold. Please report it.
    #[error("internal error (please report it): {0}")]
    Internal(String),
}

/// `std::result::Result` with wgrad's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A [`Error::File`].
    pub fn file(path: impl AsRef<Path>, message: impl ToString) -> Self {
        Error::File { path: path.as_ref().to_path_buf(), message: message.to_string() }
    }
    /// A [`Error::Config`].
    pub fn config(setting: impl ToString, message: impl ToString) -> Self {
        Error::Config { setting: setting.to_string(), message: message.to_string() }
    }
    /// A [`Error::Value`].
    pub fn value(subject: impl ToString, message: impl ToString) -> Self {
        Error::Value { subject: subject.to_string(), message: message.to_string() }
    }
}
