//! A user's kernel: right values and gradients on every device, and what is wrong with one is found and said.
#![allow(clippy::unwrap_used)]

// `writeln!` to stderr is shown by the test runner; `eprintln!` in a passing test is not.
use std::io::Write;
use wgrad::bench::{self, Options, run_case};
use wgrad::custom::CustomKernel;
use wgrad::ops::GradContext;
use wgrad::ops::samples::{SampleInput, floats, halves};
use wgrad::optim::{Adam, Optimizer};
use wgrad::reference::RefTensor;
use wgrad::verify::{Trial, check_custom, divergence};
use wgrad::{Array, DType, Device, Error, Graph, Session, Tensor, TensorType, Variable, plan};

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// A shader that is off by one part in ten thousand.
    Inexact,
    Syntax,
    EntryPoint,
    MissingBinding,
    /// An input that the shader would write.
    Written,
    /// More parameters than there are.
    Parameters,
    /// A fixed array that is larger than the input.
    FixedSize,
    WorkgroupSize,
    /// A reference that gives an element too few.
    Length,
    NoGradient,
    /// A gradient of twice the size.
    Gradient,
    GradientCount,
    Samples,
}

/// `y_i = x_(i−1) − 2x_i + x_(i+1)` along the last axis, zero beyond the ends. It is its own gradient.
#[derive(Debug, Clone)]
struct Laplacian(Fault);

impl CustomKernel for Laplacian {
    fn name(&self) -> &'static str {
        "laplacian"
    }
    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        match inputs {
            [x] if x.dtype.is_float() && x.shape.rank() > 0 => Ok(x.clone()),
            _ => Err("takes one float tensor with an axis or more".into()),
        }
    }
    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> Vec<f64> {
        let n = output.shape[output.shape.rank() - 1];
        let row = |x: &[f64]| {
            let at = |i: usize| x.get(i).copied().unwrap_or(0.0);
            (0..n).map(|i| at(i.wrapping_sub(1)) - 2.0 * at(i) + at(i + 1)).collect::<Vec<_>>()
        };
        let mut data: Vec<f64> = inputs[0].data.chunks(n).flat_map(row).collect();
        data.truncate(data.len() - usize::from(self.0 == Fault::Length));
        data
    }
    fn wgsl(&self, _: &[TensorType], output: &TensorType) -> String {
        let text = "struct Params { n: u32, outputs: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<T>;
@group(0) @binding(2) var<storage, read_write> y: array<T>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if i >= params.outputs { return; }
    var sum = -2.0 * f32(x[i]);
    if i % params.n > 0u { sum += f32(x[i - 1u]); }
    if (i + 1u) % params.n > 0u { sum += f32(x[i + 1u]); }
    y[i] = T(sum);
}";
        let (from, to) = match self.0 {
            Fault::Inexact => ("-2.0", "-2.0002"),
            Fault::Syntax => ("var sum = ", "var sum := "),
            Fault::EntryPoint => ("fn main", "fn start"),
            Fault::MissingBinding => ("@binding(1)", "@binding(7)"),
            Fault::Written => ("storage, read> x", "storage, read_write> x"),
            Fault::Parameters => ("outputs: u32 }", "outputs: u32, more: array<vec4<u32>, 8> }"),
            Fault::FixedSize => ("x: array<T>", "x: array<T, 100000>"),
            Fault::WorkgroupSize => ("workgroup_size(64)", "workgroup_size(1000000)"),
            _ => ("", ""),
        };
        text.replace(from, to).replace("<T", &format!("<{}", output.dtype)).replace("T(", &format!("{}(", output.dtype))
    }
    fn params(&self, _: &[TensorType], output: &TensorType) -> Vec<u32> {
        vec![output.shape[output.shape.rank() - 1] as u32, output.shape.elements() as u32]
    }
    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Option<Vec<Option<Tensor<'g>>>> {
        let gradient = cx.upstream.graph().custom(self, &[cx.upstream]);
        match self.0 {
            Fault::NoGradient => None,
            Fault::Gradient => Some(vec![Some(gradient * 2.0)]),
            Fault::GradientCount => Some(vec![]),
            _ => Some(vec![Some(gradient)]),
        }
    }
    fn samples(&self) -> Vec<Vec<SampleInput>> {
        match self.0 {
            Fault::Samples => vec![],
            _ => vec![vec![floats([3, 7])], vec![halves([2, 5])]],
        }
    }
}

/// The sum of several operands, and a shader that says no workgroup size.
#[derive(Debug, Clone)]
struct Many(usize);

impl CustomKernel for Many {
    fn name(&self) -> &'static str {
        "many"
    }
    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        let first = inputs.first().filter(|_| inputs.len() == self.0).ok_or("takes more")?;
        inputs.iter().all(|ty| ty == first).then(|| first.clone()).ok_or("takes operands of one type".into())
    }
    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> Vec<f64> {
        (0..output.shape.elements()).map(|i| inputs.iter().map(|x| x.data[i]).sum()).collect()
    }
    fn wgsl(&self, _: &[TensorType], _: &TensorType) -> String {
        "fn main() {}".into()
    }
    fn samples(&self) -> Vec<Vec<SampleInput>> {
        vec![vec![floats([4]); self.0]]
    }
}

/// The devices there are.
fn devices() -> Vec<Device> {
    let gpu = match Session::new(Device::gpu()) {
        Ok(_) => Some(Device::gpu()),
        Err(Error::Device(message)) if std::env::var_os("WGRAD_REQUIRE_GPU").is_none() => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: custom kernels on a GPU: {message}");
            None
        }
        Err(error) => panic!("{error}"),
    };
    [Device::Reference, Device::cpu()].into_iter().chain(gpu).collect()
}

fn gpu() -> Option<Device> {
    devices().into_iter().nth(2)
}

/// Runs it on a small vector.
fn run(session: &mut Session, fault: Fault) -> wgrad::Result<Vec<Array>> {
    let g = Graph::new();
    let x = g.input("x", [2, 3], DType::F32);
    let program = session.compile(&g, &[g.custom(&Laplacian(fault), &[x])])?;
    session.run(&program, &[("x", &Array::from([[1f32, 2.0, 4.0], [0.0, 1.0, 0.0]]))])
}

const RIGHT: [f64; 6] = [0.0, 1.0, -6.0, 1.0, -2.0, 1.0];

#[test]
fn values_and_gradients_are_right_on_every_device() {
    for device in devices() {
        let mut session = Session::new(device.clone()).unwrap();
        assert_eq!(run(&mut session, Fault::None).unwrap()[0].to_f64(), RIGHT, "{device}");
        let g = Graph::new();
        let x = g.input("x", [4], DType::F32);
        // Reversed: not dense. Sliced: not at its buffer's start.
        let y = g.custom(&Laplacian(Fault::None), &[x.flip(0).slice(0, 1..4)]);
        let dx = (y * g.constant([1f32, 10.0, 100.0])).sum(..).grad(&[x])[0];
        let program = session.compile(&g, &[y, dx]).unwrap();
        let out = session.run(&program, &[("x", &Array::from([1f32, 2.0, 4.0, 9.0]))]).unwrap();
        assert_eq!(out[0].to_f64(), [-6.0, 1.0, 0.0], "{device}");
        assert_eq!(out[1].to_f64(), [-190.0, 81.0, 8.0, 0.0], "{device}");
        let slice = session.compile(&g, &[g.custom(&Laplacian(Fault::None), &[x.slice(0, 1..4)])]).unwrap();
        let out = session.run(&slice, &[("x", &Array::from([1f32, 2.0, 4.0, 9.0]))]).unwrap();
        assert_eq!(out[0].to_f64(), [0.0, 3.0, -14.0], "{device}");
    }
}

#[test]
fn its_samples_are_all_a_check_needs() {
    for device in devices() {
        let report = check_custom(&Laplacian(Fault::None), device.clone()).unwrap();
        assert!(report.passed(), "{device}: {:#?}", report.failures);
        // Both samples, their gradchecks, other sizes and layouts.
        assert!(report.ops.len() == 1 && report.cases() > 15, "{}", report.table());
        if device != Device::cpu() {
            // The rest does not depend on the device.
            continue;
        }
        let forward = check_custom(&Laplacian(Fault::NoGradient), device.clone()).unwrap();
        assert!(forward.passed() && forward.cases() == report.cases() - 2, "{device}: {:#?}", forward.failures);
        let wrong = check_custom(&Laplacian(Fault::Gradient), device.clone()).unwrap();
        let said: Vec<String> = wrong.failures.iter().map(ToString::to_string).collect();
        assert!(
            said.len() == 2 && said.iter().all(|s| s.contains("gradcheck") && s.contains("differences")),
            "{said:?}"
        );
        let none = check_custom(&Laplacian(Fault::Samples), device).unwrap_err().to_string();
        assert!(none.contains("`laplacian`") && none.contains("samples"), "{none}");
    }
}

#[test]
fn it_is_measured_unless_it_is_wrong() {
    let brief = Options { samples: 3, min_time: 0.0 };
    for device in devices().into_iter().skip(1) {
        let mut session = Session::new(device.clone()).unwrap();
        for case in bench::custom(&Laplacian(Fault::None)) {
            let result = run_case(&mut session, &case, brief).unwrap();
            assert!(result.skipped.is_some() || result.time().is_some_and(|t| t.median > 0.0), "{result:?}");
            assert!(case.name.starts_with("laplacian/f") && !case.name.contains(' '), "{case:?}");
        }
    }
    let Some(device) = gpu() else { return };
    let report = check_custom(&Laplacian(Fault::Inexact), device.clone()).unwrap();
    assert!(report.failures.iter().any(|f| f.value == "forward" && f.at.is_some()), "{}", report.table());
    let cases = bench::custom(&Laplacian(Fault::Inexact));
    let result = run_case(&mut Session::new(device).unwrap(), &cases[0], brief).unwrap();
    assert!(result.wrong && result.at.is_some() && result.time().is_none(), "{result:?}");
}

#[test]
fn an_invalid_shader_is_the_users_error() {
    let Some(device) = gpu() else { return };
    let mut session = Session::new(device.clone()).unwrap();
    for (fault, words) in [
        (Fault::Syntax, "var sum := "),
        (Fault::EntryPoint, "main"),
        (Fault::MissingBinding, "binding"),
        (Fault::Written, "binding"),
        (Fault::Parameters, "min_binding_size"),
        (Fault::FixedSize, "min_binding_size"),
        (Fault::WorkgroupSize, "Workgroup size"),
    ] {
        let error = run(&mut session, fault).unwrap_err();
        let said = error.to_string();
        assert!(
            matches!(error, Error::Value { .. }) && said.contains("custom kernel `laplacian`"),
            "{fault:?}: {said}"
        );
        assert!(said.contains(words), "{fault:?}: {said}");
        // The device is none the worse for it.
        assert_eq!(run(&mut session, Fault::None).unwrap()[0].to_f64(), RIGHT, "{fault:?}");
    }
    let report = check_custom(&Laplacian(Fault::Syntax), device).unwrap();
    let said = report.failures[0].to_string();
    assert!(said.contains("custom kernel `laplacian`") && said.contains("var sum := "), "{said}");
}

#[test]
fn what_does_not_fit_is_an_error() {
    for device in devices() {
        let mut session = Session::new(device.clone()).unwrap();
        if !matches!(device, Device::Gpu(_)) {
            let error = run(&mut session, Fault::Length).unwrap_err();
            let said = error.to_string();
            assert!(matches!(error, Error::Value { .. }) && said.contains("`laplacian`"), "{device}: {said}");
            assert!(said.contains("5 elements") && said.contains("[2, 3]"), "{device}: {said}");
            assert_eq!(run(&mut session, Fault::None).unwrap()[0].to_f64(), RIGHT, "{device}");
        }
        let report = check_custom(&Laplacian(Fault::Length), device).unwrap();
        assert!(report.failures[0].to_string().contains("elements for the shape"), "{}", report.failures[0]);
    }
    let g = Graph::new();
    g.custom(&Laplacian(Fault::None), &[g.iota([3], 0)]);
    let said = g.check().unwrap_err().to_string();
    assert!(said.contains("laplacian") && said.contains("tests/custom.rs") && said.contains("float"), "{said}");
    for (fault, words) in [(Fault::NoGradient, "CustomKernel::grad"), (Fault::GradientCount, "0 gradients for 1")] {
        let g = Graph::new();
        let x = g.input("x", [3], DType::F32);
        g.custom(&Laplacian(fault), &[x]).sum(..).grad(&[x]);
        let said = g.check().unwrap_err().to_string();
        assert!(said.contains("laplacian") && said.contains("tests/custom.rs") && said.contains(words), "{said}");
    }
    let lower = |count: usize| {
        let g = Graph::new();
        let inputs: Vec<Tensor<'_>> = (0..count).map(|k| g.input(format!("x{k}"), [4], DType::F32)).collect();
        plan::lower(&g, &[g.custom(&Many(count), &inputs).id()], &plan::Target::default()).map(|plan| {
            let launch = &plan.launches[0];
            wgrad::wgsl::dispatches(launch, &wgrad::wgsl::GpuTarget::default()).map(drop).unwrap_err().to_string()
        })
    };
    assert!(lower(7).unwrap().contains("custom kernel `many`: its shader has no `@workgroup_size`"), "{:?}", lower(7));
    let said = lower(8).unwrap_err().to_string();
    assert!(said.contains("custom kernel `many`") && said.contains("8 inputs"), "{said}");
}

/// Two parameters go through it, so that they, their gradients and moments lie in arenas.
#[test]
fn it_trains_and_is_found_where_it_is_wrong() {
    let build = |g: &Graph, fault: Fault| {
        let term = |k: usize| {
            let data: Vec<f64> = (0..5 + k).map(|i| (1.7 * i as f64 + k as f64).sin()).collect();
            let weight = Variable::new(format!("w{k}"), Array::from_f64([5 + k], &data, DType::F32).unwrap());
            // Of a variable, and with a gradient that is the kernel's own result.
            let loss = (g.custom(&Laplacian(fault), &[g.variable(&weight)]) - 0.5).square().sum(..);
            (weight, loss)
        };
        let ((a, first), (b, second)) = (term(0), term(1));
        let loss = (first + second).named("loss");
        Optimizer::new(Adam::default(), [a, b].map(|v| (v.name().to_string(), v))).minimize(loss, 0.01);
        loss.id()
    };
    for device in devices() {
        let g = Graph::new();
        let loss = build(&g, Fault::None);
        let trial = Trial::new(&g, &[loss]);
        let mut session = Session::new(device.clone()).unwrap();
        let comparisons = trial.compare(&mut session, &trial.expected().unwrap()).unwrap();
        assert!(comparisons.iter().all(|c| c.passed()), "{device}: {comparisons:?}");
        let open = &mut |_| Session::new(device.clone());
        assert!(divergence::search(&trial, open, None).unwrap().divergence.is_none(), "{device}");
        let program = session.compile(&g, &[g.tensor(loss)]).unwrap();
        if let (Some(plan), Some(text)) = (session.plan(&program), session.explain(&program).unwrap()) {
            assert!(text.contains("laplacian") && text.contains("custom Laplacian(None)"), "{text}");
            assert!(format!("{plan}{g}{}", g.to_dot()).matches("laplacian").count() >= 12, "{plan}{g}");
        }
    }
    let Some(device) = gpu() else { return };
    let g = Graph::new();
    let loss = build(&g, Fault::Inexact);
    let search = divergence::search(&Trial::new(&g, &[loss]), &mut |_| Session::new(device.clone()), None).unwrap();
    let found = search.divergence.unwrap();
    assert!(found.op == "laplacian" && found.location.contains("tests/custom.rs"), "{found}");
    assert!(
        found.pass.is_none() && found.bundle.is_none() && found.to_string().contains("Laplacian(Inexact)"),
        "{found}"
    );
}
