//! The checks as a library: they pass what is right, and find and name what is not.
#![allow(clippy::unwrap_used)]

// `writeln!` to stderr is shown by the test runner; `eprintln!` in a passing test is not.
use serde_json::Value;
use std::io::Write;
use wgrad::custom::CustomKernel;
use wgrad::nn::{Generator, Linear, Mode, Module, Relu, Sequential};
use wgrad::ops::GradContext;
use wgrad::ops::samples::{self, Sample, SampleInput};
use wgrad::optim::{Optimizer, Sgd};
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::reference::RefTensor;
use wgrad::verify::bundle::Bundle;
use wgrad::verify::check::{CheckOptions, Report, run};
use wgrad::verify::{GradcheckOptions, Trial, anomaly, divergence, gradcheck, gradgradcheck};
use wgrad::{Array, DType, Device, Error, Executor, Graph, NodeId, Session, Tensor, TensorType, Variable};

/// The sessions there are: the CPU's, and a GPU's if there is one.
fn sessions() -> Vec<Session> {
    let mut sessions = vec![Session::new(Device::cpu()).unwrap()];
    match Session::new(Device::gpu()) {
        Ok(session) => sessions.push(session),
        Err(Error::Device(message)) if std::env::var_os("WGRAD_REQUIRE_GPU").is_none() => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: checks on a GPU: {message}");
        }
        Err(error) => panic!("{error}"),
    }
    sessions
}

/// The identity on every device; its reference multiplies by `factor`, and its gradient by `slope`.
#[derive(Debug, Clone, Copy)]
struct Identity {
    factor: f64,
    slope: f64,
}

impl CustomKernel for Identity {
    fn name(&self) -> &'static str {
        "identity"
    }
    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        Ok(inputs[0].clone())
    }
    fn reference(&self, inputs: &[&RefTensor], _: &TensorType) -> Vec<f64> {
        inputs[0].data.iter().map(|x| self.factor * x).collect()
    }
    fn error_scale(&self, _: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        value.data.iter().map(|y| y.abs()).collect()
    }
    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Option<Vec<Option<Tensor<'g>>>> {
        Some(vec![Some(cx.upstream * self.slope)])
    }
    fn host(&self, inputs: &[&[u32]], output: &mut [u32]) -> bool {
        output.copy_from_slice(inputs[0]);
        true
    }
    fn wgsl(&self, _: &[TensorType], _: &TensorType) -> String {
        "struct Params { inputs: u32, outputs: u32 }
         @group(0) @binding(0) var<uniform> params: Params;
         @group(0) @binding(1) var<storage, read> x: array<f32>;
         @group(0) @binding(2) var<storage, read_write> y: array<f32>;
         @compute @workgroup_size(64)
         fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
                 @builtin(local_invocation_index) lane: u32) {
             let i = (group.y * groups.x + group.x) * 64u + lane;
             if i < params.outputs { y[i] = x[i]; }
         }"
        .into()
    }
    fn samples(&self) -> Vec<Vec<SampleInput>> {
        vec![vec![samples::floats([3, 5])]]
    }
}

#[track_caller]
fn identity(x: Tensor<'_>, factor: f64, slope: f64) -> Tensor<'_> {
    x.graph().custom(&Identity { factor, slope }, &[x])
}

fn sample(factor: f64) -> Sample {
    let inputs = vec![SampleInput { shape: [3, 5].into(), dtype: DType::F32, range: (-2.0, 2.0) }];
    let build: samples::Build =
        Box::new(move |g, t| g.tensor(t[0].graph().custom(&Identity { factor, slope: factor }, t).id()));
    Sample { op: "identity", case: "own".into(), inputs, build }
}

#[test]
fn some_of_everything_is_right() {
    let options = CheckOptions {
        patterns: ["tanh", "argmax", "conv", "cross_entropy", "index_select"].map(String::from).into(),
        samples_only: true,
        fuzz: 5,
        ..CheckOptions::default()
    };
    for mut session in sessions() {
        let mut calls = 0;
        let report = run(&mut session, &samples::all(), &options, |_, _, _| calls += 1).unwrap();
        assert!(report.passed(), "{}\n{:?}", report.table(), report.failures);
        assert!(calls == report.cases() && report.cases() > 60, "{}", report.table());
        assert!(report.ops.iter().filter(|op| op.cases > 0).all(|op| op.compared > 0), "{}", report.table());
        let again: Report = serde_json::from_str(&report.to_json().unwrap()).unwrap();
        assert_eq!(again.ops, report.ops);
    }
}

#[test]
fn a_users_operation_is_checked_like_the_others() {
    for mut session in sessions() {
        let report = run(&mut session, &[sample(1.0)], &CheckOptions::default(), |_, _, _| {}).unwrap();
        assert!(report.passed() && report.cases() > 8, "{}", report.table());
        let report = run(&mut session, &[sample(2.0)], &CheckOptions::default(), |_, _, _| {}).unwrap();
        let first = report.failures.first().unwrap();
        assert_eq!((first.op.as_str(), first.case.as_str(), first.value.as_str()), ("identity", "own", "forward"));
        assert!(report.table().contains("FAILED") && first.to_string().contains("units of its bound"), "{first}");
    }
}

/// A small network's training step, with `wrong` in the middle of it.
fn step<'g>(g: &'g Graph, wrong: impl Fn(Tensor<'g>) -> Tensor<'g>) -> Trial<'g> {
    let mut rng = Generator::new(3);
    let (first, last) = (Linear::new(6, 8, &mut rng), Linear::new(8, 3, &mut rng));
    let network = Sequential::new().push(first.clone()).push(last.clone());
    let optimizer = Optimizer::new(Sgd::default(), network.parameters());
    let x = g.input("x", [4, 6], DType::F32);
    let labels = g.constant(Array::new([4], vec![0u32, 2, 1, 2]).unwrap());
    let hidden = wrong(Relu.forward(first.forward(x, Mode::Train), Mode::Train));
    let loss = loss_of(last.forward(hidden, Mode::Train), labels);
    optimizer.minimize(loss, 0.1);
    let mut trial = Trial::new(g, &[loss.id()]);
    let data = (0..24).map(|i| (i as f32 * 0.7).sin()).collect();
    trial.inputs = vec![("x".into(), Array::new([4, 6], data).unwrap())];
    trial
}

fn loss_of<'g>(logits: Tensor<'g>, labels: Tensor<'g>) -> Tensor<'g> {
    logits.cross_entropy(labels, 0.0).mean(..)
}

#[test]
fn the_first_wrong_node_is_named_with_its_line() {
    let right = Graph::new();
    let trial = step(&right, |x| x.tanh());
    let open = |_: Passes| Session::new(Device::cpu());
    let search = divergence::search(&trial, &mut open.clone(), None).unwrap();
    assert!(search.divergence.is_none() && search.worst <= 1.0 && search.compared == search.elements, "{search:?}");
    let mut other = Session::new(Device::cpu()).unwrap();
    let search = divergence::search(&trial, &mut open.clone(), Some(&mut other)).unwrap();
    assert_eq!(search.worst, 0.0);

    let wrong = Graph::new();
    let trial = step(&wrong, |x| identity(x, 1.01, 1.0).tanh());
    let found = divergence::search(&trial, &mut open.clone(), None).unwrap().divergence.unwrap();
    assert_eq!((found.op.as_str(), found.pass.clone()), ("identity", None));
    assert!(found.location.contains("tests/check.rs") && found.scope.is_none(), "{found}");
    let text = found.to_string();
    assert!(text.contains("factor: 1.01, slope: 1.0 }(f32[4, 8]) : f32[4, 8]") && text.contains("element"), "{text}");
    // A file cannot hold a user's operation.
    assert!(found.bundle.is_none());
    let error = Bundle::record(&trial, "own", &mut other).unwrap_err().to_string();
    assert!(error.contains("identity"), "{error}");
}

/// Whether a graph's outputs are to come out wrong.
type Fault = fn(&Graph, &[NodeId]) -> bool;

/// A CPU with a fault.
struct Wrong {
    inner: wgrad::cpu::CpuExecutor,
    fault: Fault,
    affected: Vec<bool>,
}

fn faulty(passes: Passes, fault: Fault) -> Session {
    let inner = wgrad::cpu::CpuExecutor::with_options(wgrad::cpu::CpuOptions { passes });
    Session::with_executor(Device::cpu(), Box::new(Wrong { inner, fault, affected: Vec::new() }))
}

/// The nodes some others need, of one operation.
fn needed(graph: &Graph, wanted: &[NodeId], op: &str) -> Vec<NodeId> {
    let (nodes, needed) = (graph.nodes(), graph.ancestors(wanted));
    let reached = (0..nodes.len()).filter(|&k| needed[k]).flat_map(|k| nodes[k].inputs.clone());
    reached.chain(wanted.to_vec()).filter(|id| nodes[id.index()].op.definition().name() == op).collect()
}

/// A tanh that can be an epilogue of a product.
fn fuses(graph: &Graph, outputs: &[NodeId]) -> bool {
    needed(graph, outputs, "tanh").iter().any(|tanh| !needed(graph, &[*tanh], "matmul").is_empty())
}

impl Executor for Wrong {
    fn name(&self) -> String {
        "wrong".into()
    }
    fn compile(&mut self, graph: &Graph, outputs: &[NodeId]) -> wgrad::Result<usize> {
        self.affected.push((self.fault)(graph, outputs));
        self.inner.compile(graph, outputs)
    }
    fn run(
        &mut self,
        program: usize,
        inputs: &[(&str, &Array)],
        first: u32,
        count: u32,
        seed: u64,
    ) -> wgrad::Result<()> {
        self.inner.run(program, inputs, first, count, seed)
    }
    fn outputs(&mut self, program: usize) -> wgrad::Result<Vec<Array>> {
        let outputs = self.inner.outputs(program)?;
        let off = if self.affected[program] { 0.5 } else { 0.0 };
        let shift = |a: Array| {
            let data: Vec<f64> = a.to_f64().iter().map(|x| x + off).collect();
            Array::from_f64(a.shape(), &data, a.dtype())
        };
        outputs.into_iter().map(shift).collect()
    }
    fn read(&mut self, variable: &Variable) -> wgrad::Result<Array> {
        self.inner.read(variable)
    }
    fn write(&mut self, variable: &Variable, value: &Array) -> wgrad::Result<()> {
        self.inner.write(variable, value)
    }
    fn plan(&self, program: usize) -> Option<&Plan> {
        self.inner.plan(program)
    }
    fn allocated_bytes(&self) -> u64 {
        self.inner.allocated_bytes()
    }
    fn profile(&mut self, program: usize, step: u32, seed: u64) -> wgrad::Result<Vec<wgrad::LaunchSeconds>> {
        self.inner.profile(program, step, seed)
    }
}

#[test]
fn a_wrong_fusion_is_named_and_saved() {
    let g = Graph::new();
    let trial = step(&g, |x| x.tanh());
    // Right without its epilogues.
    let mut open = |passes: Passes| {
        let fault: Fault = if passes.epilogues { fuses } else { |_, _| false };
        Ok(faulty(passes, fault))
    };
    let found = divergence::search(&trial, &mut open, None).unwrap().divergence.unwrap();
    assert_eq!((found.op.as_str(), found.pass.as_deref()), ("tanh", Some("epilogues")));
    let folder = tempfile::tempdir().unwrap();
    let saved = found.bundle.unwrap().save_in(folder.path()).unwrap();
    let bundle = Bundle::read(&saved).unwrap();
    let wrong = |passes: Passes, open: &mut divergence::Open<'_>| {
        bundle.replay(&mut open(passes).unwrap()).unwrap().iter().any(|c| !c.passed())
    };
    assert!(wrong(Passes::all(), &mut open));
    assert!(!wrong(Passes::none(), &mut open));
    assert!(!wrong(Passes::all(), &mut |_| Session::new(Device::cpu())));
}

#[test]
fn a_random_program_that_fails_is_made_small() {
    let folder = tempfile::tempdir().unwrap();
    let options = CheckOptions { fuzz: 60, bundles: Some(folder.path().into()), ..CheckOptions::default() };
    let mut session = faulty(Passes::all(), |graph, outputs| !needed(graph, outputs, "sum").is_empty());
    let report = run(&mut session, &[], &options, |_, _, _| {}).unwrap();
    assert!(!report.failures.is_empty() && report.cases() == 60, "{}", report.table());
    for failure in &report.failures {
        let program = failure.reproducer.as_ref().unwrap();
        let nodes = program.lines().filter(|line| line.starts_with('%')).count();
        assert!(program.contains("sum axes") && nodes <= 4, "{program}");
        let bundle = Bundle::read(failure.bundle.as_ref().unwrap()).unwrap();
        assert!(bundle.replay(&mut session).unwrap().iter().any(|c| !c.passed()));
        assert!(bundle.replay(&mut Session::new(Device::cpu()).unwrap()).unwrap().iter().all(|c| c.passed()));
    }
}

#[test]
fn a_bundle_holds_a_whole_step_and_what_is_not_one_is_refused() {
    let g = Graph::new();
    let mut trial = step(&g, |x| x * g.random_uniform([4, 8]) + g.iota([4, 8], 1).cast(DType::F32) * 0.25);
    (trial.step, trial.seed) = (7, 11);
    let folder = tempfile::tempdir().unwrap();
    let mut session = Session::new(Device::cpu()).unwrap();
    let saved = Bundle::record(&trial, "a step", &mut session).unwrap().save_in(folder.path()).unwrap();
    assert_eq!(saved.file_name().unwrap(), "a-step");
    let again = Bundle::record(&trial, "a step", &mut session).unwrap().save_in(folder.path()).unwrap();
    assert_eq!(again.file_name().unwrap(), "a-step-2");
    let bundle = Bundle::read(&saved).unwrap();
    let expected = trial.compare(&mut session, &trial.expected().unwrap()).unwrap();
    assert_eq!(bundle.title(), "a step");
    assert_eq!(bundle.replay(&mut session).unwrap(), expected);
    assert_eq!(expected.len(), 5);

    let file = saved.join("bundle.json");
    let text = std::fs::read_to_string(&file).unwrap();
    type Change = fn(&mut Value);
    let spoil: [(&str, Change); 4] = [
        ("format version 9", |v| v["schema"] = 9.into()),
        ("is not alphanumeric", |v| {
            let arrays = v["arrays"].as_object_mut().unwrap();
            let ty = arrays.remove("a0").unwrap();
            arrays.insert("../a0".into(), ty);
        }),
        ("a later node", |v| {
            let nodes = v["graph"]["nodes"].as_array_mut().unwrap();
            let node = nodes.iter_mut().find(|n| n["inputs"][0].is_number()).unwrap();
            node["inputs"][0] = 999.into();
        }),
        ("is not a valid bundle", |v| v["graph"]["nodes"][0]["kind"] = serde_json::json!({ "op": "Dance" })),
    ];
    for (words, change) in spoil {
        let mut value: Value = serde_json::from_str(&text).unwrap();
        change(&mut value);
        std::fs::write(&file, value.to_string()).unwrap();
        let error = Bundle::read(&saved).unwrap_err().to_string();
        assert!(error.contains("bundle.json") && error.contains(words), "{error}");
    }
    std::fs::write(&file, text).unwrap();
    std::fs::remove_file(saved.join("a0.npy")).unwrap();
    assert!(Bundle::read(&saved).unwrap_err().to_string().contains("a0.npy"));
}

#[test]
fn the_first_operation_that_is_not_finite_is_found_on_every_device() {
    for mut session in sessions() {
        let g = Graph::new();
        let x = g.input("x", [4], DType::F32);
        let w = g.variable(&Variable::new("w", Array::from([1.0f32, -2.0, 3.0, 4.0])));
        let shifted = (x * w).named("shifted");
        let masked = x.gt(0.0).select(shifted, f64::NEG_INFINITY);
        let y = shifted.log() + masked.exp() * 0.0;
        g.update(&Variable::new("other", 0.0f32), y.sum(..));
        let mut trial = Trial::new(&g, &[y.id()]);
        trial.inputs = vec![("x".into(), Array::from([1.0f32, 2.0, 3.0, 0.5]))];
        let found = anomaly::find(&trial, &mut session).unwrap().unwrap();
        let input = &found.inputs[0];
        assert_eq!((found.op.as_str(), found.output.nan, found.output.infinite), ("log", 1, 0));
        assert_eq!((input.name.as_str(), input.min, input.max, input.nan), ("shifted", Some(-4.0), Some(9.0), 0));
        assert!(found.output.location.contains("tests/check.rs"), "{found}");
        // A mask's infinity is nobody's fault.
        trial.inputs = vec![("x".into(), Array::from([1.0f32, -2.0, 3.0, 0.5]))];
        assert_eq!(anomaly::find(&trial, &mut session).unwrap(), None);
    }
}

#[test]
fn gradcheck_takes_any_graph_and_names_what_is_wrong() {
    let g = Graph::new();
    let x = g.input("x", [2, 3], DType::F32);
    let rows = g.input("rows", [4], DType::U32);
    let w = g.variable(&Variable::new("weight", Array::zeros([3, 2], DType::F32).unwrap()));
    let y = x.matmul(w).tanh().index_select(0, rows);
    let value = |t: Tensor<'_>| RefTensor::from_fn(&t.shape(), t.dtype(), |i| (i as f64 * 1.3).sin());
    let index = RefTensor { shape: [4].into(), dtype: DType::U32, data: vec![0.0, 1.0, 1.0, 0.0] };
    let leaves = [(x, value(x)), (rows, index), (w, value(w))];
    let options = GradcheckOptions::default();
    // Several outputs, one of integers, none a scalar.
    let outputs = [y, y.argmax(1), x.exp()];
    assert!(gradcheck(&g, &outputs, &leaves, options).unwrap() < 0.1);
    assert!(gradgradcheck(&g, &outputs, &leaves, options).unwrap() < 0.1);
    let wrong = identity(w, 1.0, 1.01).sum(..);
    let error = gradcheck(&g, &[y, wrong], &leaves, options).unwrap_err().to_string();
    assert!(error.contains("variable `weight`") && error.contains("finite differences"), "{error}");
    let loose = GradcheckOptions { rtol: 0.1, ..options };
    assert!(gradcheck(&g, &[y, wrong], &leaves, loose).is_ok());
    // What is detached still moves the value.
    let bent = identity(x, 1.0, 1.0) * x.detach();
    assert!(gradcheck(&g, &[bent], &leaves[..1], options).is_err());

    let said = |error: wgrad::Result<f64>| error.unwrap_err().to_string();
    assert!(said(gradcheck(&g, &[y], &[(y, value(y))], options)).contains("not an input or a variable"));
    assert!(said(gradcheck(&g, &[y], &[(x, value(w))], options)).contains("[3, 2]"));
    assert!(said(gradcheck(&g, &[y], &leaves[..1], options)).contains("rows"));
    assert!(said(gradcheck(&g, &[y.argmax(1)], &leaves, options)).contains("no output is a float"));
    let other = Graph::new();
    assert!(said(gradcheck(&other, &[y], &leaves, options)).contains("another graph"));
    let bad = Graph::new();
    let z = bad.input("z", [2], DType::F32).matmul(bad.input("q", [3], DType::F32));
    assert!(said(gradcheck(&bad, &[z], &[], options)).contains("matmul"));
}
