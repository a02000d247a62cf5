//! The CPU executor through the public API: what parity on single operations does not show.
#![allow(clippy::unwrap_used)]

use wgrad::{Array, ConvOptions, DType, Device, Error, Graph, Session, Variable};

fn cpu() -> Session {
    Session::new(Device::cpu()).unwrap()
}

/// A small network's training program: two convolutions, a linear layer, cross-entropy, SGD with momentum, dropout.
struct Network {
    graph: Graph,
    parameters: Vec<Variable>,
    loss: Variable,
}

impl Network {
    fn new() -> Self {
        let graph = Graph::new();
        let mut parameters = Vec::new();
        let mut parameter = |name: &str, shape: &[usize]| {
            let n: usize = shape.iter().product();
            let values: Vec<f32> = (0..n).map(|i| 0.3 * ((i * 7 + name.len()) as f32).sin()).collect();
            let variable = Variable::new(name, Array::new(shape, values).unwrap());
            parameters.push(variable.clone());
            variable
        };
        let (w1, b1) = (parameter("conv1.weight", &[4, 1, 3]), parameter("conv1.bias", &[4, 1]));
        let w2 = parameter("conv2.weight", &[5, 4, 3]);
        let (w3, b3) = (parameter("fc.weight", &[20, 3]), parameter("fc.bias", &[3]));
        let loss = Variable::new("loss", 0.0f32);
        let g = &graph;
        let stride = ConvOptions::new().stride(2);
        let x = g.input("x", [6, 1, 19], DType::F32);
        let h = (x.conv(g.variable(&w1), &stride) + g.variable(&b1)).relu();
        let h = g.random_bernoulli(0.8, h.shape()).select(h * 1.25, 0.0);
        let h = h.conv(g.variable(&w2), &stride).tanh().flatten(1);
        let logits = h.matmul(g.variable(&w3)) + g.variable(&b3);
        let value = logits.cross_entropy(g.input("labels", [6], DType::U32), 0.1).mean(..);
        let tensors: Vec<_> = parameters.iter().map(|v| g.variable(v)).collect();
        // The learning rate falls with the step, and momentum and parameter are updated together.
        let rate = (g.step().cast(DType::F32) + 1.0).rsqrt() * 0.1;
        for ((variable, tensor), gradient) in parameters.iter().zip(&tensors).zip(value.grad(&tensors)) {
            let zeros = Array::zeros(variable.tensor_type().shape, DType::F32).unwrap();
            let momentum = Variable::new(format!("{}.momentum", variable.name()), zeros);
            let velocity = g.variable(&momentum) * 0.9 + gradient;
            velocity.assign_to(&momentum);
            (*tensor - velocity * rate.broadcast_to(tensor.shape())).assign_to(variable);
        }
        value.assign_to(&loss);
        Network { graph, parameters, loss }
    }

    fn train(&self, device: Device, steps: &[u32]) -> Vec<Vec<f64>> {
        let mut session = Session::new(device).unwrap();
        session.set_seed(9);
        let program = session.compile(&self.graph, &[]).unwrap();
        let x: Vec<f32> = (0..6 * 19).map(|i| ((i * i) as f32 * 0.1).cos()).collect();
        let x = Array::new([6, 1, 19], x).unwrap();
        let labels = Array::from([0u32, 1, 2, 0, 1, 2]);
        for &count in steps {
            session.run_steps(&program, &[("x", &x), ("labels", &labels)], count).unwrap();
        }
        self.parameters.iter().chain([&self.loss]).map(|v| session.read(v).unwrap().to_f64()).collect()
    }
}

#[test]
fn many_training_steps_follow_the_reference() {
    let network = Network::new();
    let (got, wanted) = (network.train(Device::cpu(), &[20]), network.train(Device::reference(), &[20]));
    for (got, wanted) in got.iter().flatten().zip(wanted.iter().flatten()) {
        assert!((got - wanted).abs() < 2e-5, "{got} {wanted}");
    }
    assert!(network.train(Device::cpu(), &[200])[5][0] < 0.8 * network.train(Device::cpu(), &[1])[5][0]);
}

#[test]
fn how_the_steps_are_submitted_does_not_change_a_bit() {
    let network = Network::new();
    assert_eq!(network.train(Device::cpu(), &[7]), network.train(Device::cpu(), &[3, 1, 3]));
}

#[test]
fn programs_share_variables_and_every_update_reads_the_values_from_before_the_run() {
    let (a, b) = (Variable::new("a", [1.0f32, 2.0, 3.0]), Variable::new("b", [10.0f32, 20.0, 30.0]));
    let g = Graph::new();
    g.variable(&b).flip(0).assign_to(&a);
    (g.variable(&a) + g.variable(&b)).assign_to(&b);
    let other = Graph::new();
    let sum = other.variable(&a).sum(..);
    let old = other.variable(&a);
    (old * 2.0).assign_to(&a);

    let mut session = cpu();
    let (exchange, double) = (session.compile(&g, &[]).unwrap(), session.compile(&other, &[sum, old]).unwrap());
    session.run(&exchange, &[]).unwrap();
    assert_eq!(session.read(&a).unwrap(), Array::from([30.0f32, 20.0, 10.0]));
    assert_eq!(session.read(&b).unwrap(), Array::from([11.0f32, 22.0, 33.0]));
    let out = session.run(&double, &[]).unwrap();
    assert_eq!(out[0].item().unwrap(), 60.0);
    assert_eq!(out[1], Array::from([30.0f32, 20.0, 10.0]));
    assert_eq!(session.read(&a).unwrap(), Array::from([60.0f32, 40.0, 20.0]));
    session.run(&exchange, &[]).unwrap();
    assert_eq!(session.read(&b).unwrap(), Array::from([71.0f32, 62.0, 53.0]));
}

#[test]
fn a_variable_is_written_before_and_after_a_program_uses_it() {
    let v = Variable::new("v", [1.0f32, 2.0]);
    let mut session = cpu();
    assert!(matches!(session.read(&v), Err(Error::Value { .. })));
    session.write(&v, &Array::from([5.0f32, 6.0])).unwrap();
    let g = Graph::new();
    let y = g.variable(&v) + 1.0;
    let program = session.compile(&g, &[y]).unwrap();
    assert_eq!(session.run(&program, &[]).unwrap()[0], Array::from([6.0f32, 7.0]));
    session.write(&v, &Array::from([7.0f32, 8.0])).unwrap();
    assert_eq!(session.run(&program, &[]).unwrap()[0], Array::from([8.0f32, 9.0]));
}

#[test]
fn outputs_that_are_leaves_are_returned_as_they_are() {
    let v = Variable::new("v", [1u32, 2]);
    let g = Graph::new();
    let outputs = [g.variable(&v), g.input("x", [3], DType::F16), g.constant([4i32, -5]), g.step()];
    let mut session = cpu();
    let program = session.compile(&g, &outputs).unwrap();
    let x = Array::from([1.5f32, -2.0, 0.25]).cast(DType::F16);
    let out = session.run(&program, &[("x", &x)]).unwrap();
    let wanted = [Array::from([1u32, 2]), x, Array::from([4i32, -5]), Array::scalar(0u32)];
    assert_eq!(out, wanted);
}

#[test]
fn an_odd_number_of_halves_round_trips_through_views() {
    let g = Graph::new();
    let x = g.input("x", [3, 5], DType::F16);
    let mut session = cpu();
    let program = session.compile(&g, &[x.t().slice(0, 1..4).flip(1), x.sum(1), x.max(0)]).unwrap();
    let values: Vec<f64> = (0..15).map(f64::from).collect();
    let out = session.run(&program, &[("x", &Array::from_f64([3, 5], &values, DType::F16).unwrap())]).unwrap();
    assert_eq!(out[0].to_f64(), [11., 6., 1., 12., 7., 2., 13., 8., 3.]);
    assert_eq!(out[1].to_f64(), [10., 35., 60.]);
    assert_eq!(out[2].to_f64(), [10., 11., 12., 13., 14.]);
}

#[test]
fn indices_out_of_range_are_clamped() {
    let g = Graph::new();
    let x = g.constant([10.0f32, 11.0, 12.0]);
    let (signed, unsigned) = (g.constant([-7i32, 2, 9]), g.constant([u32::MAX, 0, 3]));
    let outputs = [x.index_select(0, signed), x.index_select(0, unsigned), x.scatter_add(0, signed, 2)];
    let mut session = cpu();
    let program = session.compile(&g, &outputs).unwrap();
    let out = session.run(&program, &[]).unwrap();
    assert_eq!(out[0], Array::from([10.0f32, 12.0, 12.0]));
    assert_eq!(out[1], Array::from([12.0f32, 10.0, 12.0]));
    assert_eq!(out[2], Array::from([10.0f32, 23.0]));
}

#[test]
fn empty_tensors_work() {
    let g = Graph::new();
    let x = g.input("x", [0, 4], DType::F32);
    let outputs = [x.sum(0), x.exp(), x.softmax(-1), x.t().matmul(x), x.matmul(g.full([4, 3], 1.0, DType::F32))];
    let mut session = cpu();
    let program = session.compile(&g, &outputs).unwrap();
    let out = session.run(&program, &[("x", &Array::zeros([0, 4], DType::F32).unwrap())]).unwrap();
    assert_eq!(out[0].to_f64(), [0.0; 4]);
    assert!(out[1].is_empty() && out[2].is_empty() && out[4].is_empty());
    assert_eq!(out[3].to_f64(), [0.0; 16]);
}

#[test]
fn memory_stays_flat_over_steps_and_large_sums_stay_accurate() {
    let g = Graph::new();
    let n = 3_000_000;
    let y = (g.iota([n], 0).cast(DType::F32) * 0.0 + 0.1).sum(..);
    let mut session = cpu();
    let program = session.compile(&g, &[y]).unwrap();
    let wanted = f64::from(0.1f32) * n as f64;
    assert!((session.run(&program, &[]).unwrap()[0].item().unwrap() / wanted - 1.0).abs() < 1e-6);
    let before = session.allocated_bytes();
    session.run_steps(&program, &[], 2).unwrap();
    assert_eq!(session.allocated_bytes(), before);
    assert!(session.plan(&program).is_some());
}
