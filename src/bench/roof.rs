//! The measured roofline of a device.

use super::roof_ops::{Add, FusedMultiplyAdd};
use super::{Case, Options, run_case, values};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::ops::samples::SampleInput;
use crate::session::Session;
use serde::{Deserialize, Serialize};

/// The memory bandwidth for data of some size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// The total bytes of the three vectors.
    pub bytes: u64,
    /// Bytes read and written per second.
    pub bytes_per_second: f64,
}

/// The roofline of a device: its peak arithmetic throughput and memory bandwidth, which give a lower bound on the time
/// of a kernel.
///
/// Both are the best of many runs with the same executor that runs the cases: fused multiply-adds of `f32` values in
/// registers, and `a + b` for vectors of several sizes, because data that fit in a cache have a higher bandwidth. A
/// case is compared with data of its own size or larger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Roof {
    /// `f32` FLOP/s; a fused multiply-add counts as two operations.
    pub flops_per_second: f64,
    /// The bandwidths for several data sizes, in ascending order.
    pub streams: Vec<Stream>,
}

/// The number of elements of each of the three vectors. The largest exceeds most caches.
const STREAMS: [usize; 4] = [1 << 12, 1 << 16, 1 << 19, 1 << 23];

impl Roof {
    /// Measures the roofline of a device.
    pub fn measure(device: &Device, options: Options) -> Result<Roof> {
        // The best of many short samples: on a shared machine, every long sample is disturbed.
        let options = Options { samples: options.samples.max(200), ..options };
        let best = |case: &Case| -> Result<Option<(f64, u64)>> {
            let mut session = Session::new(device.clone())?;
            let result = run_case(&mut session, case, options)?;
            if result.wrong {
                let at = result.at.unwrap_or_default();
                return Err(Error::NotFinite(format!(
                    "{}: the result is wrong ({at}), so the roofline cannot be measured",
                    case.name
                )));
            }
            let timing = result.device.or(result.wall);
            Ok(timing.filter(|t| t.min > 0.0).map(|t| (t.min, result.flops)))
        };
        let session = Session::new(device.clone())?;
        // Just enough work to occupy all of the device's threads for some time.
        let fma = match session.gpu_target() {
            None => FusedMultiplyAdd { threads: 1024, iterations: 1024 },
            Some(target) if target.software => FusedMultiplyAdd { threads: 1 << 12, iterations: 256 },
            Some(_) => FusedMultiplyAdd { threads: 1 << 18, iterations: 512 },
        };
        drop(session);
        // Multiples of 2⁻²² below 4, and so are all intermediate values: they are exact, so any error is visible.
        let input = SampleInput { range: (0.0, 4.0), ..values([fma.elements()]) };
        let case = Case::new("roof/fma", vec![input], move |g, t| g.custom(&fma, t));
        let (seconds, flops) = best(&case)?.ok_or_else(|| {
            Error::Device("the roofline was measured as 0 s: the device's clock is unreliable".into())
        })?;
        let mut streams = Vec::new();
        for elements in STREAMS {
            // Rows of four elements, so that the checked slices are whole vectors too.
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

    /// The bandwidth in bytes per second for data of this size: the best measured for this size or a larger one.
    pub fn bandwidth(&self, bytes: u64) -> f64 {
        let enough = self.streams.iter().position(|s| s.bytes >= bytes).unwrap_or(self.streams.len().saturating_sub(1));
        self.streams[enough..].iter().map(|s| s.bytes_per_second).fold(0.0, f64::max)
    }

    /// The minimum time in seconds for this many operations and bytes: the maximum of the compute and the memory time.
    pub fn seconds(&self, flops: u64, bytes: u64) -> f64 {
        let time = |amount: u64, rate: f64| if rate > 0.0 { amount as f64 / rate } else { 0.0 };
        time(flops, self.flops_per_second).max(time(bytes, self.bandwidth(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roofline_is_the_maximum_of_compute_and_memory_time() {
        let stream = |bytes, bytes_per_second| Stream { bytes, bytes_per_second };
        let roof = Roof { flops_per_second: 100.0, streams: vec![stream(10, 50.0), stream(100, 20.0)] };
        assert_eq!((roof.bandwidth(5), roof.bandwidth(50), roof.bandwidth(5000)), (50.0, 20.0, 20.0));
        assert_eq!(roof.seconds(1000, 10), 10.0);
        assert_eq!(roof.seconds(1, 40), 2.0);
    }
}
