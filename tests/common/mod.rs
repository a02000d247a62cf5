//! What tests against outside numbers share: fixtures, devices, and programs run with and without rounding.
// Each test binary uses a part of it.
#![allow(dead_code)]

// `writeln!` to stderr is shown by the test runner; `eprintln!` in a passing test is not.
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use wgrad::ops::Op;
use wgrad::ops::leaf::Leaf;
use wgrad::reference::{Environment, RefTensor, evaluate, evaluate_all};
use wgrad::verify::error_bounds;
use wgrad::{Array, DType, Device, Error, Graph, NodeId, Program, Session, Shape, Tensor, Variable};

pub(crate) mod torch;

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub(crate) fn json(name: &str) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(fixture(name)).unwrap()).unwrap()
}

/// The numbers of a (nested) JSON list, row-major, and its shape.
pub(crate) fn numbers(value: &serde_json::Value) -> (Vec<usize>, Vec<f64>) {
    match value.as_array() {
        None => (Vec::new(), vec![value.as_f64().unwrap_or_else(|| panic!("not a number: {value}"))]),
        Some(list) => {
            let parts: Vec<(Vec<usize>, Vec<f64>)> = list.iter().map(numbers).collect();
            let mut shape = vec![list.len()];
            shape.extend(parts.first().map(|p| p.0.clone()).unwrap_or_default());
            (shape, parts.into_iter().flat_map(|p| p.1).collect())
        }
    }
}

/// An array of a golden `.npz`.
#[derive(Debug, Clone)]
pub(crate) struct Golden {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f64>,
    pub(crate) dtype: DType,
}

impl Golden {
    pub(crate) fn array(&self) -> Array {
        Array::from_f64(self.shape.clone(), &self.data, self.dtype).unwrap()
    }
    pub(crate) fn reference(&self) -> RefTensor {
        RefTensor { shape: self.shape.clone().into(), dtype: self.dtype, data: self.data.clone() }
    }
}

/// All arrays of an `.npz`; 64-bit floats count as `f32`, integers as `i32`.
pub(crate) fn npz(name: &str) -> BTreeMap<String, Golden> {
    let arrays = wgrad::data::npz::read(fixture(name)).unwrap();
    let golden = |found: wgrad::data::npz::NpzArray| Golden {
        shape: found.array.shape,
        data: found.array.values,
        dtype: if found.integer { DType::I32 } else { DType::F32 },
    };
    arrays.into_iter().map(|(name, found)| (name, golden(found))).collect()
}

/// A session on `device`; `None` (and a message) on a machine without such a device, unless one is required.
pub(crate) fn open(device: &Device) -> Option<Session> {
    match Session::new(device.clone()) {
        Ok(session) => Some(session),
        Err(Error::Device(message)) if std::env::var_os("WGRAD_REQUIRE_GPU").is_none() => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: {device}: {message}");
            None
        }
        Err(error) => panic!("{device}: {error}"),
    }
}

/// Makes a module of the function's name with a test for each device.
macro_rules! on_every_device {
    ($($name:ident)*) => {$(
        mod $name {
            #[test]
            fn reference() {
                super::$name(&wgrad::Device::reference());
            }
            #[test]
            fn cpu() {
                super::$name(&wgrad::Device::cpu());
            }
            #[cfg(feature = "gpu")]
            #[test]
            fn gpu() {
                super::$name(&wgrad::Device::gpu());
            }
        }
    )*};
}
pub(crate) use on_every_device;

/// Variables with f64 values.
#[derive(Default)]
pub(crate) struct Values(Vec<(Variable, RefTensor)>);

impl Values {
    pub(crate) fn add(&mut self, name: &str, shape: impl Into<Shape>, data: &[f64]) -> Variable {
        let shape = shape.into();
        let variable = Variable::new(name, Array::from_f64(shape.clone(), data, DType::F32).unwrap());
        self.0.push((variable.clone(), RefTensor { shape, dtype: DType::F32, data: data.to_vec() }));
        variable
    }
    /// Another value for a variable that there is already.
    pub(crate) fn set(&mut self, variable: &Variable, golden: &Golden) {
        assert_eq!(variable.tensor_type().shape, golden.shape.clone().into(), "{variable:?}");
        self.0.push((variable.clone(), golden.reference()));
    }
    pub(crate) fn json(&mut self, name: &str, value: &serde_json::Value) -> Variable {
        let (shape, data) = numbers(value);
        self.add(name, shape, &data)
    }
    pub(crate) fn golden(&mut self, name: &str, golden: &Golden) -> Variable {
        if golden.dtype.is_float() {
            return self.add(name, golden.shape.clone(), &golden.data);
        }
        let variable = Variable::new(name, golden.array());
        self.0.push((variable.clone(), golden.reference()));
        variable
    }
}

/// A program without inputs, ready to run.
pub(crate) enum Machine<'g> {
    /// In f64 throughout, nothing rounded to `f32`: what golden numbers are compared with tightly.
    Exact(Exact<'g>),
    /// On a device.
    Device(Box<Session>, Program),
}

pub(crate) struct Exact<'g> {
    graph: &'g Graph,
    outputs: usize,
    wanted: Vec<NodeId>,
    variables: HashMap<u64, RefTensor>,
    step: u32,
    rounds: bool,
}

impl<'g> Machine<'g> {
    pub(crate) fn exact(graph: &'g Graph, outputs: &[Tensor<'g>], values: &Values) -> Self {
        graph.check().unwrap();
        let updates = graph.updates();
        let wanted = outputs.iter().map(|t| t.id()).chain(updates.iter().map(|(_, id)| *id)).collect();
        let variables = values.0.iter().map(|(v, value)| (v.id(), value.clone())).collect();
        Machine::Exact(Exact { graph, outputs: outputs.len(), wanted, variables, step: 0, rounds: false })
    }

    /// As [`Machine::exact`], but every operation's result is rounded to `f32`: the best an f32 device can do.
    pub(crate) fn rounded(graph: &'g Graph, outputs: &[Tensor<'g>], values: &Values) -> Self {
        let Machine::Exact(mut exact) = Machine::exact(graph, outputs, values) else { unreachable!() };
        exact.rounds = true;
        exact.variables.values_mut().for_each(|v| round(&mut v.data));
        Machine::Exact(exact)
    }

    /// The exact machine for the reference, else the device's; `None` on a machine without such a device.
    pub(crate) fn on(device: &Device, graph: &'g Graph, outputs: &[Tensor<'g>], values: &Values) -> Option<Self> {
        if *device == Device::reference() {
            return Some(Machine::exact(graph, outputs, values));
        }
        let mut session = open(device)?;
        let program = session.compile(graph, outputs).unwrap();
        for (variable, value) in &values.0 {
            let value = Array::from_f64(value.shape.clone(), &value.data, value.dtype).unwrap();
            if value != *variable.initial() {
                session.write(variable, &value).unwrap();
            }
        }
        Some(Machine::Device(Box::new(session), program))
    }

    /// Runs once and returns the outputs.
    pub(crate) fn run(&mut self) -> Vec<Vec<f64>> {
        match self {
            Machine::Exact(exact) => exact.run(),
            Machine::Device(session, program) => session.run(program, &[]).unwrap().iter().map(Array::to_f64).collect(),
        }
    }

    /// Runs `count` times.
    pub(crate) fn steps(&mut self, count: u32) {
        match self {
            Machine::Exact(exact) => (0..count).for_each(|_| drop(exact.run())),
            Machine::Device(session, program) => session.run_steps(program, &[], count).unwrap(),
        }
    }

    /// Runs another program, which shares the variables, once.
    pub(crate) fn also(&mut self, graph: &Graph, outputs: &[Tensor<'_>]) -> Vec<Vec<f64>> {
        match self {
            Machine::Exact(exact) => {
                let inputs = HashMap::new();
                let environment = Environment { inputs: &inputs, variables: &exact.variables, step: 0, seed: 0 };
                let ids: Vec<NodeId> = outputs.iter().map(|t| t.id()).collect();
                evaluate(graph, &ids, environment).unwrap().into_iter().map(|v| v.data).collect()
            }
            Machine::Device(session, _) => {
                let program = session.compile(graph, outputs).unwrap();
                session.run(&program, &[]).unwrap().iter().map(Array::to_f64).collect()
            }
        }
    }

    pub(crate) fn read(&mut self, variable: &Variable) -> Vec<f64> {
        match self {
            Machine::Exact(exact) => exact.variables[&variable.id()].data.clone(),
            Machine::Device(session, _) => session.read(variable).unwrap().to_f64(),
        }
    }
}

impl Exact<'_> {
    fn run(&mut self) -> Vec<Vec<f64>> {
        let inputs = HashMap::new();
        let environment = Environment { inputs: &inputs, variables: &self.variables, step: self.step, seed: 0 };
        let mut values = if self.rounds {
            evaluate_rounded(self.graph, &self.wanted, environment)
        } else {
            evaluate(self.graph, &self.wanted, environment).unwrap()
        };
        self.step += 1;
        for ((variable, _), value) in self.graph.updates().iter().zip(values.split_off(self.outputs)) {
            self.variables.insert(variable.id(), value);
        }
        values.into_iter().map(|v| v.data).collect()
    }
}

/// As [`evaluate`] for a graph without inputs and random numbers, with each node's value rounded to `f32`.
fn evaluate_rounded(graph: &Graph, wanted: &[NodeId], environment: Environment<'_>) -> Vec<RefTensor> {
    let nodes = graph.nodes();
    let needed = graph.ancestors(wanted);
    let mut values: Vec<Option<RefTensor>> = vec![None; nodes.len()];
    for (index, node) in nodes.iter().enumerate().filter(|(index, _)| needed[*index]) {
        let mut value = match &node.op {
            Op::Leaf(Leaf::Variable(variable)) => environment.variables[&variable.id()].clone(),
            Op::Leaf(Leaf::Step) => RefTensor::from_fn(&node.ty.shape, node.ty.dtype, |_| f64::from(environment.step)),
            op => {
                let inputs: Vec<&RefTensor> =
                    node.inputs.iter().map(|id| values[id.index()].as_ref().unwrap()).collect();
                op.definition().reference(&inputs, &node.ty)
            }
        };
        if node.ty.dtype.is_float() {
            round(&mut value.data);
        }
        values[index] = Some(value);
    }
    wanted.iter().map(|id| values[id.index()].clone().unwrap()).collect()
}

fn round(data: &mut [f64]) {
    data.iter_mut().for_each(|x| *x = f64::from(*x as f32));
}

/// The error each element of each output may have in a first run on an f32 device, the rounding of the variables'
/// values included.
pub(crate) fn first_run_bounds<'g>(graph: &'g Graph, outputs: &[Tensor<'g>], values: &Values) -> Vec<Vec<f64>> {
    let variables = values.0.iter().map(|(v, value)| (v.id(), value.clone())).collect();
    let inputs = HashMap::new();
    let environment = Environment { inputs: &inputs, variables: &variables, step: 0, seed: 0 };
    let ids: Vec<NodeId> = outputs.iter().map(|t| t.id()).collect();
    let rounding = |x: &f64| (x - f64::from(*x as f32)).abs();
    let given = values.0.iter().map(|(v, x)| (graph.variable(v).id(), x.data.iter().map(rounding).collect())).collect();
    let all = evaluate_all(graph, &ids, environment).unwrap();
    let bounds = error_bounds(graph, &all, &given);
    ids.iter().map(|id| bounds[id.index()].clone()).collect()
}

/// The largest difference.
pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(x, y)| if x.is_nan() || y.is_nan() { f64::INFINITY } else { (x - y).abs() })
        .fold(0.0, f64::max)
}

/// The largest absolute value.
pub(crate) fn largest(a: &[f64]) -> f64 {
    a.iter().map(|x| x.abs()).fold(0.0, f64::max)
}

/// The attributes of a golden case, with a note of those that were read: one that nobody asks for is one that nobody honours.
pub(crate) struct Attrs {
    what: String,
    map: serde_json::Map<String, serde_json::Value>,
    used: std::cell::RefCell<std::collections::BTreeSet<String>>,
}

impl Attrs {
    pub(crate) fn new(what: &str, value: &serde_json::Value) -> Self {
        let map = value.as_object().unwrap_or_else(|| panic!("{what}: not an object")).clone();
        Attrs { what: what.into(), map, used: Default::default() }
    }
    fn get(&self, key: &str) -> Option<&serde_json::Value> {
        self.used.borrow_mut().insert(key.into());
        self.map.get(key)
    }
    pub(crate) fn number_or(&self, key: &str, default: f64) -> f64 {
        self.get(key).map_or(default, |v| v.as_f64().unwrap_or_else(|| panic!("{}: {key} is {v}", self.what)))
    }
    pub(crate) fn number(&self, key: &str) -> f64 {
        assert!(self.get(key).is_some(), "{}: no `{key}`", self.what);
        self.number_or(key, 0.0)
    }
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(|v| v.as_bool().unwrap_or_else(|| panic!("{}: {key} is {v}", self.what)))
    }
    pub(crate) fn flag_or(&self, key: &str, default: bool) -> bool {
        if self.get(key).is_some() { self.flag(key) } else { default }
    }
    pub(crate) fn text_or(&self, key: &str, default: &str) -> String {
        self.get(key).map_or(default, |v| v.as_str().unwrap_or_else(|| panic!("{}: {key} is {v}", self.what))).into()
    }
    pub(crate) fn text(&self, key: &str) -> String {
        assert!(self.get(key).is_some(), "{}: no `{key}`", self.what);
        self.text_or(key, "")
    }
    pub(crate) fn list(&self, key: &str) -> Option<Vec<f64>> {
        self.get(key).map(|v| numbers(v).1)
    }
    pub(crate) fn part(&self, key: &str) -> Attrs {
        Attrs::new(&format!("{}.{key}", self.what), &self.get(key).cloned().unwrap_or_default())
    }
    pub(crate) fn parts(&self, key: &str) -> Vec<Attrs> {
        let list = self.get(key).and_then(serde_json::Value::as_array).unwrap_or_else(|| panic!("{}", self.what));
        list.iter().map(|v| Attrs::new(&format!("{}.{key}", self.what), v)).collect()
    }
    pub(crate) fn all_used(&self) {
        let used = self.used.borrow();
        let unknown: Vec<&String> = self.map.keys().filter(|key| !used.contains(*key)).collect();
        assert!(unknown.is_empty(), "{}: nothing honours {unknown:?}", self.what);
    }
}

/// f64's epsilon as a part of f32's, four times: either side of the comparison rounds, and not where the other does.
pub(crate) const F64_PART: f64 = 4.0 / (1u64 << 29) as f64;

/// The cases of a kind in `fixtures/optim/index.json`: name, attributes, file.
pub(crate) fn cases(op: &str) -> Vec<(String, Attrs, String)> {
    let index = json("optim/index.json");
    let all = index["cases"].as_array().unwrap();
    let found: Vec<_> = all
        .iter()
        .filter(|case| case["op"] == op)
        .map(|case| {
            let name = case["case"].as_str().unwrap();
            (name.to_string(), Attrs::new(name, &case["attrs"]), format!("optim/{}", case["file"].as_str().unwrap()))
        })
        .collect();
    assert!(!found.is_empty(), "no case of {op}");
    found
}
