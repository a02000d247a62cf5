//! The second output of a matmul and of a convolution's weight gradient: the sums of the left side's rows. The planner asks
//! for it where a sum reads what the other kernel reads.
#![allow(clippy::unwrap_used)]

use wgrad::kernels::Kernel;
use wgrad::ops::Op;
use wgrad::ops::conv::{Conv, ConvKind};
use wgrad::ops::samples::{self, Sample, SampleInput};
use wgrad::verify::parity;
use wgrad::{ConvOptions, DType, Device, Graph, Session, Shape};

/// A matmul's (or a weight gradient's) elements, then the row sums.
fn sample(case: String, conv: Option<Conv>, shapes: [Shape; 2], dtype: DType, transposed: bool) -> Sample {
    let inputs = shapes.map(|shape| SampleInput { shape, dtype, range: (-2.0, 2.0) });
    let build: samples::Build = Box::new(move |g, t| {
        let (a, b) = (if transposed { t[0].t() } else { t[0] }, t[1]);
        let (result, sums) = match &conv {
            Some(conv) => {
                let axes: Vec<usize> = (0..b.shape().rank()).filter(|&axis| axis != 1).collect();
                (g.apply(Op::Conv(conv.clone()), &[a, b]), b.sum(&axes[..]))
            }
            None => (a.matmul(b), a.sum(-1)),
        };
        let both = result.flatten(0).concat(&[sums.flatten(0)], 0);
        g.tensor(both.id())
    });
    Sample { op: "row_sums", case, inputs: inputs.into(), build }
}

fn all() -> Vec<Sample> {
    let mut out = Vec::new();
    for (m, k, n) in [(1, 5, 1), (3, 300, 200), (7, 13, 5), (17, 200, 9), (100, 40, 100), (128, 64, 256), (50, 300, 60)]
    {
        for transposed in [false, true].into_iter().filter(|&t| !t || m == 100) {
            let a = if transposed { [k, m] } else { [m, k] };
            let case = format!("matmul {m}x{k}x{n} {transposed}");
            out.push(sample(case, None, [a.into(), [k, n].into()], DType::F32, transposed));
        }
    }
    // Few outputs, many terms.
    out.push(sample("matmul 8x9000x8".into(), None, [[8, 9000].into(), [9000, 8].into()], DType::F32, false));
    out.push(sample("matmul f16".into(), None, [[20, 12].into(), [12, 8].into()], DType::F16, false));
    let mut conv = |x: &[usize], w: &[usize], options: ConvOptions, dtype| {
        let forward = Conv { kind: ConvKind::Forward, options: options.clone() };
        let g = forward.geometry(&x.into(), &w.into()).unwrap();
        let y = [&[x[0], w[0]], &g.output[4 - x.len()..]].concat();
        let conv = Conv { kind: ConvKind::WeightGrad(w[2..].to_vec()), options };
        out.push(sample(format!("conv {x:?} {w:?}"), Some(conv), [x.into(), y.into()], dtype, false));
    };
    conv(&[4, 1, 40], &[15, 1, 3], ConvOptions::new().stride(2), DType::F32);
    conv(&[3, 15, 19], &[15, 15, 3], ConvOptions::new().stride(2), DType::F32);
    conv(&[2, 4, 9], &[6, 2, 3], ConvOptions::new().groups(2).padding(1), DType::F32);
    conv(&[9, 8, 9, 9], &[20, 8, 4, 2], ConvOptions::new(), DType::F32);
    conv(&[30, 2, 20, 21], &[3, 2, 3, 3], ConvOptions::new().padding(1), DType::F32);
    conv(&[2, 4, 12], &[3, 4, 3], ConvOptions::new().padding(1), DType::F16);
    out
}

/// Each sample is one launch with both outputs.
#[test]
fn the_planner_joins_them() {
    for sample in all() {
        let g = Graph::new();
        let inputs = sample.inputs.iter().enumerate();
        let inputs: Vec<_> = inputs.map(|(k, i)| g.input(format!("x{k}"), &i.shape, i.dtype)).collect();
        let value = (sample.build)(&g, &inputs);
        let plan = wgrad::plan::lower(&g, &[value.id()], &wgrad::plan::Target::default()).unwrap();
        let joined = |kernel: &Kernel| match kernel {
            Kernel::Matmul(kernel) => kernel.row_sums,
            Kernel::Conv(kernel) => kernel.row_sums,
            _ => false,
        };
        assert!(plan.launches.iter().any(|l| joined(&l.kernel)), "{sample:?}\n{plan}");
    }
}

fn check(mut session: Session) {
    for sample in all() {
        match parity(&mut session, &sample, 3) {
            Ok(result) => assert!(result.passed(), "{sample:?}: {result:?}"),
            Err(wgrad::Error::Device(message)) if message.contains("SHADER_F16") => {}
            Err(error) => panic!("{sample:?}: {error}"),
        }
    }
}

#[test]
fn cpu() {
    check(Session::new(Device::cpu()).unwrap());
}

#[cfg(feature = "gpu")]
#[test]
fn gpu_as_it_is_and_with_webgpus_limits() {
    use wgrad::gpu::{GpuExecutor, GpuOptions, Limits};
    for limits in [Limits::Adapter, Limits::Webgpu] {
        let options = GpuOptions { limits, ..GpuOptions::default() };
        match GpuExecutor::with_options(&wgrad::GpuChoice::Fastest, options) {
            Ok(executor) => check(Session::with_executor(Device::gpu(), Box::new(executor))),
            Err(error) => assert!(std::env::var_os("WGRAD_REQUIRE_GPU").is_none(), "{error}"),
        }
    }
}
