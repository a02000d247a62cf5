//! A custom kernel: RMS normalisation of rows in one launch, with its gradient, checked and benchmarked.
//!
//! ```text
//! $ cargo run --release --example custom_kernel -- --device gpu
//! ```

use wgrad::bench::{Case, Options, custom, run_case};
use wgrad::custom::CustomKernel;
use wgrad::ops::GradContext;
use wgrad::ops::samples::{SampleInput, floats};
use wgrad::reference::RefTensor;
use wgrad::verify::check_custom;
use wgrad::{Array, DType, Device, Graph, Session, Tensor, TensorType};

/// `y = x · w / √(mean(x²) + eps)`, with the mean over each row.
#[derive(Debug, Clone)]
struct RmsNorm {
    eps: f32,
}

/// One workgroup per row.
const SHADER: &str = "
struct Params { rows: u32, n: u32, eps: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let row = group.y * groups.x + group.x;
    if row >= params.rows { return; }
    let start = row * params.n;
    var sum = 0f;
    for (var i = lane; i < params.n; i += 64u) { sum += x[start + i] * x[start + i]; }
    sums[lane] = sum;
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half { sums[lane] += sums[lane + half]; }
    }
    workgroupBarrier();
    let scale = inverseSqrt(sums[0] / f32(params.n) + params.eps);
    for (var i = lane; i < params.n; i += 64u) { y[start + i] = x[start + i] * scale * weight[i]; }
}";

impl CustomKernel for RmsNorm {
    fn name(&self) -> &'static str {
        "my_rms_norm"
    }
    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        match inputs {
            [x, w] if x.shape.rank() == 2 && *w == TensorType::new([x.shape[1]], DType::F32) && x.dtype == w.dtype => {
                Ok(x.clone())
            }
            _ => Err("expects f32[rows, n] and a weight f32[n]".into()),
        }
    }
    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> Vec<f64> {
        let rows = inputs[0].data.chunks(output.shape[1]).map(|row| {
            let mean = row.iter().map(|x| x * x).sum::<f64>() / row.len() as f64;
            row.iter().zip(&inputs[1].data).map(move |(x, w)| x * w / (mean + f64::from(self.eps)).sqrt())
        });
        rows.flatten().collect()
    }
    fn wgsl(&self, _: &[TensorType], _: &TensorType) -> String {
        SHADER.into()
    }
    fn params(&self, _: &[TensorType], output: &TensorType) -> Vec<u32> {
        vec![output.shape[0] as u32, output.shape[1] as u32, self.eps.to_bits()]
    }
    fn workgroups(&self, _: &[TensorType], output: &TensorType) -> Option<u64> {
        Some(output.shape[0] as u64)
    }
    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Option<Vec<Option<Tensor<'g>>>> {
        let (x, gw) = (cx.inputs[0], cx.upstream * cx.inputs[1]);
        let scale = (x.square().mean_keepdim(1) + f64::from(self.eps)).rsqrt();
        let dx = scale * (gw - x * scale.square() * (gw * x).mean_keepdim(1));
        Some(vec![Some(dx), Some((cx.upstream * x * scale).sum(0))])
    }
    fn samples(&self) -> Vec<Vec<SampleInput>> {
        vec![vec![floats([3, 7]), floats([7])], vec![floats([2, 100]), floats([100])]]
    }
}

/// The device given by `--device`; by default the fastest.
fn device() -> wgrad::Result<Device> {
    let mut args = std::env::args().skip_while(|arg| arg != "--device").skip(1);
    args.next().map_or(Ok(Device::auto()), |name| name.parse())
}

fn main() -> wgrad::Result<()> {
    let kernel = RmsNorm { eps: 1e-5 };
    let mut session = Session::new(device()?)?;
    println!("on {}", session.device_name());

    // In a graph, together with built-in operations, and with a gradient.
    let g = Graph::new();
    let x = g.input("x", [2, 3], DType::F32);
    let y = g.custom(&kernel, &[x, g.full([3], 1.0, DType::F32)]);
    let dx = y.square().sum(..).grad(&[x])[0];
    let program = session.compile(&g, &[y, dx])?;
    let out = session.run(&program, &[("x", &Array::from([[1f32, 2.0, 2.0], [3.0, 0.0, -3.0]]))])?;
    println!("\ny  = {:.4?}\ndx = {:.2e}", out[0].to_f64(), out[1].to_f64().iter().fold(0f64, |m, x| m.max(x.abs())));

    // Check the kernel against the reference, forward and backward, including edge cases, and its gradient rule.
    let report = check_custom(&kernel, session.device().clone())?;
    println!("\n{}", report.table());
    report.failures.iter().for_each(|failure| println!("{failure}"));
    println!("{} cases, {}", report.cases(), if report.passed() { "all passed" } else { "some FAILED" });

    // Benchmark the kernel; a wrong kernel is not timed.
    println!();
    let (rows, large) = (kernel.clone(), vec![floats([4096, 256]), floats([256])]);
    // The rows are independent, so the reference needs to compute only some of them.
    let large = Case::new("my_rms_norm/4096x256", large, move |g, t| g.custom(&rows, t)).along(&[(0, 0)], 0, 64);
    for case in custom(&kernel).into_iter().chain([large]) {
        let result = run_case(&mut session, &case, Options { samples: 5, min_time: 0.05 })?;
        let summary = match result.time() {
            Some(time) => format!("{:.1} µs, error {:.3} of its bound", 1e6 * time.median, result.worst_error),
            None => result.at.or(result.skipped).unwrap_or_default(),
        };
        println!("{}: {summary}", case.name);
    }
    Ok(())
}
