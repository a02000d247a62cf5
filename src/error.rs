//! The error type of the crate. Every message names what was requested, what was found, and what to do about it.

use std::path::{Path, PathBuf};

/// What can go wrong in wgrad. Invalid arguments never cause a panic: they are returned as one of these errors.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation got tensors or attributes it does not accept. The error is recorded at the call and returned by
    /// `compile`.
    #[error("{op}: {message}\n  at {location}")]
    Op {
        /// The operation's name, e.g. `matmul`.
        op: String,
        /// What is wrong, including the shapes.
        message: String,
        /// The caller's file, line and column.
        location: String,
    },
    /// A host array, an input of a run or a variable does not have the type that the program expects.
    #[error("{subject}: {message}")]
    Value {
        /// The offending value, e.g. ``input `x` ``.
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
    /// A setting (from the command line, a TOML file or a builder) is invalid.
    #[error("{setting}: {message}")]
    Config {
        /// The setting's name or path, e.g. `train.batch`.
        setting: String,
        /// What is wrong and which values are accepted.
        message: String,
    },
    /// There is no device of the requested kind, or the device lacks a feature that the program needs.
    #[error("device: {0}")]
    Device(String),
    /// The program exceeds a limit of the device.
    #[error("{what} needs {needed}, but the limit is {limit}: {remedy}")]
    Limit {
        /// The object that exceeds the limit.
        what: String,
        /// The required amount.
        needed: u64,
        /// The device's limit.
        limit: u64,
        /// How to avoid the error.
        remedy: String,
    },
    /// The device ran out of memory.
    #[error("out of device memory: {0}. Use a smaller batch or a device with more memory")]
    OutOfMemory(String),
    /// The device was lost (driver reset, device unplugged, watchdog timeout).
    #[error("the device was lost: {0}. Start the run again; a shorter submission or another device may help")]
    DeviceLost(String),
    /// A computation gave NaN or infinity where a finite number is required.
    #[error("{0}")]
    NotFinite(String),
    /// A bug in wgrad: a driver rejected a kernel, or an invariant does not hold. Please report it.
    #[error("internal error (please report it): {0}")]
    Internal(String),
}

/// The message, as [`std::fmt::Display`] gives it: it is what a `main` that returns a [`Result`] prints.
impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
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
