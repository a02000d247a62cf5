//! Whether a run's sets are kept on the device or streamed to it.

use super::config::Config;
use super::metrics::SetName;
use super::sets::Set;
use crate::error::Result;
use crate::memory;
use crate::session::Session;

/// The most bytes that the sets take on a hardware GPU, whose free memory is not known.
const MOST_ON_HARDWARE: u64 = 2 << 30;
/// The part of the host's free memory that the sets may take on the CPU and on software drivers.
const PART_OF_HOST: u64 = 8;

/// Makes the sets resident, or leaves them to be streamed, and returns which in a word. All sets are kept the same way.
///
/// The rule: sets stay on the device if none of them is large enough to have been left in its file, each of their tables
/// fits one binding, and all of them together fit 2 GiB on a hardware GPU, or an eighth of the host's free memory
/// elsewhere (which holds several copies).
pub(super) fn decide(session: &Session, config: &Config, sets: &mut [(SetName, Set)]) -> Result<&'static str> {
    let fits = || {
        let target = session.gpu_target();
        let binding = target.as_ref().map_or(u64::MAX, |target| target.max_binding);
        let host = || memory::available().map_or(MOST_ON_HARDWARE, |free| free / PART_OF_HOST);
        let most = if target.is_some_and(|target| !target.software) { MOST_ON_HARDWARE } else { host() };
        sets.iter().all(|(_, set)| set.largest_table() <= binding && !set.is_in_file())
            && sets.iter().map(|(_, set)| set.bytes()).sum::<u64>() <= most
    };
    if !config.data.resident.unwrap_or_else(fits) {
        return Ok("streamed");
    }
    for (_, set) in sets {
        memory::check("a resident data set", set.bytes(), "stream it (`--stream`, or `data.resident = false`)")?;
        set.make_resident()?;
    }
    Ok("resident")
}
