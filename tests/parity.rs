//! Every operation on each device against the f64 reference.
#![allow(clippy::unwrap_used)]

// `writeln!` to stderr is shown by the test runner; `eprintln!` in a passing test is not.
use std::io::Write;
use wgrad::verify::parity;
use wgrad::{Device, Error, Session};

fn check(device: Device) {
    let session = Session::new(device.clone());
    check_session(device, session);
}

fn check_session(device: Device, session: Result<Session, Error>) {
    let mut failures = Vec::new();
    let mut session = match session {
        Ok(session) => session,
        Err(Error::Device(message)) if std::env::var_os("WGRAD_REQUIRE_GPU").is_none() => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: parity on {device}: {message}");
            return;
        }
        Err(error) => panic!("{device}: {error}"),
    };
    let only = std::env::var("WGRAD_SAMPLE").unwrap_or_default();
    let (mut worst, mut skipped) = ((0.0, String::new()), 0);
    let all = wgrad::verify::samples();
    for sample in all.into_iter().filter(|s| format!("{s:?}").contains(&only)) {
        match parity(&mut session, &sample, 3) {
            Ok(result) if result.passed() => {
                if result.worst > worst.0 {
                    worst = (result.worst, format!("{sample:?}"));
                }
            }
            // A device without 16-bit floats says so; everything else must run.
            Err(Error::Device(message)) if message.contains("SHADER_F16") => skipped += 1,
            Ok(result) => failures.push(format!("{sample:?}: {result:?}")),
            Err(error) => failures.push(format!("{sample:?}: {error}")),
        }
    }
    eprintln!("{}: worst {:.3} of the bound ({})", session.device_name(), worst.0, worst.1);
    if skipped > 0 {
        let _ = writeln!(std::io::stderr(), "SKIPPED: {skipped} samples on f16, which {} lacks", session.device_name());
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn cpu_agrees_with_the_reference() {
    check(Device::cpu());
}

#[cfg(feature = "gpu")]
#[test]
fn gpu_agrees_with_the_reference() {
    check(Device::gpu());
}

/// The kernels any GPU with WebGPU's limits gets, where a software driver would have its own.
#[cfg(feature = "gpu")]
#[test]
fn portable_gpu_kernels_agree_with_the_reference() {
    use wgrad::gpu::{GpuExecutor, GpuOptions, Limits};
    let options = GpuOptions { limits: Limits::Webgpu, ..GpuOptions::default() };
    let executor = GpuExecutor::with_options(&wgrad::GpuChoice::Fastest, options);
    check_session(Device::gpu(), executor.map(|e| Session::with_executor(Device::gpu(), Box::new(e))));
}
