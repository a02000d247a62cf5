//! What the machine is capable of, as measured.

use super::roof_ops::{Add, FusedMultiplyAdd};
use super::{Case, Options, run_case, values};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::ops::samples::SampleInput;
use crate::session::Session;
use serde::{Deserialize, Serialize};

/// How fast data of some size move.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// Bytes of the three vectors together.
    pub bytes: u64,
    /// Bytes read and written in a second.
    pub bytes_per_second: f64,
}

/// The least time a device can do with.
///
/// Both rates are the best of many runs through the same executor that the cases run on: fused multiply-adds on `f32`
/// values in registers, and `a + b` over vectors of several sizes, since what fits into a cache moves faster. A case is set
/// against data of its own size or larger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Roof {
    /// `f32` operations in a second, a fused multiply-add being two.
    pub flops_per_second: f64,
    /// Data of several sizes, smallest first.
    pub streams: Vec<Stream>,
}

/// Elements of each of the three vectors. The largest is beyond most caches.
const STREAMS: [usize; 4] = [1 << 12, 1 << 16, 1 << 19, 1 << 23];

impl Roof {
    /// Measures a device.
    pub fn measure(device: &Device, options: Options) -> Result<Roof> {
        // The best of many short samples: on a shared machine long ones are all disturbed.
        let options = Options { samples: options.samples.max(200), ..options };
        let best = |case: &Case| -> Result<Option<(f64, u64)>> {
            let mut session = Session::new(device.clone())?;
            let result = run_case(&mut session, case, options)?;
            if result.wrong {
                let at = result.at.unwrap_or_default();
                return Err(Error::NotFinite(format!(
                    "{}: its result is wrong ({at}): no roof to measure by",
                    case.name
                )));
            }
            let timing = result.device.or(result.wall);
            Ok(timing.filter(|t| t.min > 0.0).map(|t| (t.min, result.flops)))
        };
        let session = Session::new(device.clone())?;
        // Enough for all of a device's threads to have work for some time, and no more.
        let fma = match session.gpu_target() {
            None => FusedMultiplyAdd { threads: 1024, iterations: 1024 },
            Some(target) if target.software => FusedMultiplyAdd { threads: 1 << 12, iterations: 256 },
            Some(_) => FusedMultiplyAdd { threads: 1 << 18, iterations: 512 },
        };
        drop(session);
        // Multiples of 2⁻²² below 4, which stay so: no rounding hides.
        let input = SampleInput { range: (0.0, 4.0), ..values([fma.elements()]) };
        let case = Case::new("roof/fma", vec![input], move |g, t| g.custom(&fma, t));
        let (seconds, flops) = best(&case)?
            .ok_or_else(|| Error::Device("took no time to multiply and add: its clock cannot be trusted".into()))?;
        let mut streams = Vec::new();
        for elements in STREAMS {
            // Rows of four, so that the slices that are checked are whole vectors too.
            let inputs = vec![values([elements / 4, 4]), values([elements / 4, 4])];
            let case = Case::new(format!("roof/stream-{elements}"), inputs, |g, t| g.custom(&Add, t));
            let case = case.along(&[(0, 0), (1, 0)], 0, 1024);
            let bytes = 12 * elements as u64;
            if let Some((seconds, _)) = best(&case)? {
                streams.push(Stream { bytes, bytes_per_second: bytes as f64 / seconds });
            }
        }
        Ok(Roof { flops_per_second: flops as f64 / seconds, streams })
    }

    /// Bytes in a second for data of this size: the best that was measured for this size or a larger one.
    pub fn bandwidth(&self, bytes: u64) -> f64 {
        let enough = self.streams.iter().position(|s| s.bytes >= bytes).unwrap_or(self.streams.len().saturating_sub(1));
        self.streams[enough..].iter().map(|s| s.bytes_per_second).fold(0.0, f64::max)
    }

    /// The least seconds for so many operations on so many bytes: those of whichever takes longer.
    pub fn seconds(&self, flops: u64, bytes: u64) -> f64 {
        let part = |amount: u64, rate: f64| if rate > 0.0 { amount as f64 / rate } else { 0.0 };
        part(flops, self.flops_per_second).max(part(bytes, self.bandwidth(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roof_is_what_takes_longer() {
        let stream = |bytes, bytes_per_second| Stream { bytes, bytes_per_second };
        let roof = Roof { flops_per_second: 100.0, streams: vec![stream(10, 50.0), stream(100, 20.0)] };
        assert_eq!((roof.bandwidth(5), roof.bandwidth(50), roof.bandwidth(5000)), (50.0, 20.0, 20.0));
        assert_eq!(roof.seconds(1000, 10), 10.0);
        assert_eq!(roof.seconds(1, 40), 2.0);
    }
}
