//! The check of a custom kernel on its own samples.

use super::{CheckOptions, Report, run};
use crate::custom::{CustomKernel, has_gradient, samples};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::session::Session;
use crate::verify::gradcheck_sample;

/// Checks a custom kernel: on the device, forward and backward, on its samples and on variants of them with edge-case
/// shapes and layouts, as [`run`] does; and its gradient rule against finite differences, in f64. A kernel without a
/// gradient rule is checked forward only, and has no case ending in `gradcheck`.
///
/// If a shader is invalid, the [`failures`](Report::failures) of the report contain the shader compiler's message. See
/// [`CustomKernel`] for an example.
///
/// # Errors
/// If there is no such device or it is lost; [`Error::Value`] if the kernel has no samples.
pub fn custom<K: CustomKernel>(kernel: &K, device: Device) -> Result<Report> {
    let samples = samples(kernel);
    if samples.is_empty() {
        let message = "has no samples to check: CustomKernel::samples is empty";
        return Err(Error::value(format!("custom kernel `{}`", kernel.name()), message));
    }
    let mut session = Session::new(device)?;
    let options = CheckOptions::default();
    let mut report = run(&mut session, &samples, &options, |_, _, _| {})?;
    for sample in &samples {
        let differentiable = sample.inputs.iter().any(|i| i.dtype.is_float() && i.shape.elements() > 0);
        if !differentiable || !has_gradient(kernel, &sample.inputs) {
            continue;
        }
        let case = format!("{}, gradcheck", sample.case);
        match gradcheck_sample(sample, options.seed) {
            Ok(_) => drop(report.add(sample.op, &case, &[], None)),
            Err(error) => report.error(sample.op, &case, &error),
        }
    }
    Ok(report)
}
