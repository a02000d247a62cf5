//! Benchmarks give figures for what is right, and none for what is wrong.
#![allow(clippy::unwrap_used)]

// `writeln!` to stderr is shown by the test runner; `eprintln!` in a passing test is not.
use std::io::Write;
use wgrad::bench::{Case, Options, Roof, all, run_case, values};
use wgrad::custom::CustomKernel;
use wgrad::ops::GradContext;
use wgrad::ops::samples::SampleInput;
use wgrad::reference::RefTensor;
use wgrad::{Device, Error, Session, Tensor, TensorType};

const BRIEF: Options = Options { samples: 3, min_time: 0.0 };

/// `2x`, by kernels that multiply by `factor`.
#[derive(Debug, Clone, Copy)]
struct Double {
    factor: f32,
}

impl CustomKernel for Double {
    fn name(&self) -> &'static str {
        "double"
    }
    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        Ok(inputs[0].clone())
    }
    fn reference(&self, inputs: &[&RefTensor], _: &TensorType) -> Vec<f64> {
        inputs[0].data.iter().map(|x| 2.0 * x).collect()
    }
    fn error_scale(&self, _: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        value.data.iter().map(|y| y.abs()).collect()
    }
    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Option<Vec<Option<Tensor<'g>>>> {
        Some(vec![Some(cx.upstream * 2.0)])
    }
    fn params(&self, _: &[TensorType], _: &TensorType) -> Vec<u32> {
        vec![self.factor.to_bits()]
    }
    fn host(&self, inputs: &[&[u32]], output: &mut [u32]) -> bool {
        let double = |x: u32| (self.factor * f32::from_bits(x)).to_bits();
        output.iter_mut().zip(inputs[0]).for_each(|(y, &x)| *y = double(x));
        true
    }
    fn wgsl(&self, _: &[TensorType], _: &TensorType) -> String {
        "struct P { factor: f32 }
         @group(0) @binding(0) var<uniform> p: P;
         @group(0) @binding(1) var<storage, read> x: array<f32>;
         @group(0) @binding(2) var<storage, read_write> y: array<f32>;
         @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
             if id.x < arrayLength(&x) { y[id.x] = p.factor * x[id.x]; }
         }"
        .into()
    }
    fn samples(&self) -> Vec<Vec<SampleInput>> {
        vec![vec![values([1000])]]
    }
}

fn doubled(factor: f32) -> Case {
    Case::new("double/1000", vec![values([1000])], move |g, t| g.custom(&Double { factor }, t)).along(&[(0, 0)], 0, 10)
}

/// The sessions there are: the CPU's, and a GPU's if there is one.
fn sessions() -> Vec<Session> {
    let mut sessions = Vec::new();
    for device in [Device::cpu(), Device::gpu()] {
        match Session::new(device.clone()) {
            Ok(session) => sessions.push(session),
            Err(Error::Device(message)) if std::env::var_os("WGRAD_REQUIRE_GPU").is_none() => {
                let _ = writeln!(std::io::stderr(), "SKIPPED: bench on {device}: {message}");
            }
            Err(error) => panic!("{device}: {error}"),
        }
    }
    sessions
}

#[test]
fn a_wrong_kernel_gets_no_number() {
    for mut session in sessions() {
        let right = run_case(&mut session, &doubled(2.0), BRIEF).unwrap();
        assert!(!right.wrong && right.wall.as_ref().is_some_and(|t| t.median > 0.0), "{right:?}");
        // Off by one part in a hundred thousand.
        let wrong = run_case(&mut session, &doubled(2.00002), BRIEF).unwrap();
        assert!(wrong.wrong && wrong.worst_error > 10.0 && wrong.at.is_some(), "{wrong:?}");
        assert!(wrong.wall.is_none() && wrong.device.is_none() && wrong.time().is_none(), "{wrong:?}");
        assert_eq!((wrong.flops_per_second(), wrong.bytes_per_second()), (None, None));
    }
}

/// The axes of a case's check are as independent as they claim to be, for every kind of kernel.
#[test]
fn small_cases_of_every_kernel_are_right() {
    let small = |case: &&Case| case.inputs.iter().map(|i| i.shape.elements()).sum::<usize>() <= 200_000;
    let cases = all();
    let names = [
        "matmul/mlp",
        "conv1d/mnist1d-3",
        "conv1d/100x15x19-k3p1",
        "reduce/bias",
        "softmax",
        "cross_entropy",
        "batch-4000",
    ];
    let chosen = cases.iter().filter(small).filter(|case| names.iter().any(|name| case.name.contains(name)));
    let mut session = Session::new(Device::cpu()).unwrap();
    let mut count = 0;
    for case in chosen {
        let result = run_case(&mut session, case, BRIEF).unwrap();
        assert!(!result.wrong && result.skipped.is_none() && result.wall.is_some(), "{result:?}");
        assert!(result.bytes > 0 && result.launches > 0, "{result:?}");
        count += 1;
    }
    assert!(count >= 15, "only {count} cases");
}

/// Whatever clock the device has, its times are no longer than those of the host that waited for it.
#[test]
fn device_times_lie_within_wall_times() {
    for mut session in sessions() {
        let g = wgrad::Graph::new();
        let w = wgrad::Variable::new("w", wgrad::Array::full([128, 128], 1f32).unwrap());
        let product = g.variable(&w).matmul(g.variable(&w));
        let total = product.sum(..);
        let program = session.compile(&g, &[product, total]).unwrap();
        session.run(&program, &[]).unwrap();
        let start = std::time::Instant::now();
        let Some(runs) = session.device_times(&program, 3).unwrap() else { continue };
        let wall = start.elapsed().as_secs_f64();
        let launches = session.plan(&program).unwrap().launch_count();
        assert!(runs.len() == 3 && runs.iter().all(|run| run.len() == launches), "{runs:?}");
        let total: f64 = runs.iter().flatten().flatten().sum();
        assert!(total > 0.0 && total <= wall, "{total} s on the device, {wall} s in all");
        assert_eq!(session.step(&program).unwrap(), 4);
    }
}

/// What the host spends on encoding lies within the time of the call, and the CPU has nothing to encode.
#[test]
fn the_hosts_part_lies_within_the_call() {
    for mut session in sessions() {
        let g = wgrad::Graph::new();
        let count = wgrad::Variable::new("count", 0f32);
        (g.variable(&count) + 1.0).assign_to(&count);
        let program = session.compile(&g, &[]).unwrap();
        let before = session.host_seconds();
        let start = std::time::Instant::now();
        session.run_steps(&program, &[], 1000).unwrap();
        let wall = start.elapsed().as_secs_f64();
        assert_eq!(before.is_some(), session.gpu_target().is_some());
        if let Some((before, after)) = before.zip(session.host_seconds()) {
            assert!(before < after && after - before <= wall, "{before} {after} {wall}");
        }
        assert_eq!(session.read(&count).unwrap().item().unwrap(), 1000.0);
    }
}

#[test]
fn the_roof_is_measured() {
    let roof = Roof::measure(&Device::cpu(), BRIEF).unwrap();
    assert!(roof.flops_per_second > 1e8 && roof.streams.len() >= 3, "{roof:?}");
    assert!(roof.streams.iter().all(|s| s.bytes_per_second > 1e7), "{roof:?}");
}
