//! The memory that is left on the host.

use crate::error::{Error, Result};

/// The bytes of memory that this process can still take without swapping: what the system has available, or what is
/// left of the limit of the process's control group. `None` where the system does not say.
pub fn available() -> Option<u64> {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let free = Some(system.available_memory()).filter(|&bytes| bytes > 0)?;
    Some(system.cgroup_limits().map_or(free, |limits| limits.free_memory.min(free)))
}

/// The size from which on [`check`] asks the system.
const LARGE: u64 = 64 << 20;

/// Checks that the host has `bytes` bytes left for `what`; `remedy` is what helps if not. Small amounts are not checked.
///
/// # Errors
/// [`Error::Limit`] with both numbers.
pub(crate) fn check(what: &str, bytes: u64, remedy: &str) -> Result<()> {
    if bytes < LARGE {
        return Ok(());
    }
    match available() {
        Some(free) if bytes > free => Err(Error::Limit {
            what: format!("{what} (bytes)"),
            needed: bytes,
            limit: free,
            remedy: format!("that is the host's free memory; {remedy}"),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_is_is_an_error_with_both_numbers() {
        assert!(check("a", 1000, "").is_ok());
        if let Some(free) = available() {
            assert!(free > 1 << 20);
            let error = check("a table", u64::MAX / 2, "use less").unwrap_err().to_string();
            assert!(error.contains("a table") && error.contains(&(u64::MAX / 2).to_string()), "{error}");
        }
    }
}
