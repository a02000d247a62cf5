//! Settings of random changes to training samples.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Random changes that each training sample gets anew each time it is seen. They are drawn on the device; validation and test
/// samples stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Shifts the last axis by a whole number of positions, uniform from −shift to shift, the same for all channels and
    /// rows; what leaves at one end comes in at the other.
    pub shift: usize,
    /// Multiplies by a factor, uniform from 1 − scale to 1 + scale.
    pub scale: f64,
    /// Adds normal noise with this standard deviation to each number.
    pub noise: f64,
}

impl AugmentConfig {
    pub(super) fn check(&self) -> Result<()> {
        for (key, value, limit) in [("scale", self.scale, 1.0), ("noise", self.noise, f64::MAX)] {
            if !(0.0..=limit).contains(&value) {
                let most = if limit == 1.0 { " and at most 1" } else { "" };
                return Err(Error::config(
                    format!("data.augment.{key}"),
                    format!("must be at least 0{most}, but is {value}"),
                ));
            }
        }
        Ok(())
    }
}
