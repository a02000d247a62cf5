//! Every sample and training steps of many networks, with each pass left out in turn.

use super::{Case, cpu, cpu_sessions};
use wgrad::nn::loss::{self, CrossEntropy};
use wgrad::nn::{Conv1d, Conv2d, Dropout, Flatten, Generator, Linear, Mode, Module, Relu, Sequential, Tanh};
use wgrad::ops::samples;
use wgrad::optim::{Adam, Optimizer, Sgd};
use wgrad::passes::Passes;
use wgrad::train::{Config, Model};
use wgrad::{Array, ConvOptions, DType, Graph, Session, Shape, Tensor, Variable};

const ROWS: usize = 8;
const BATCH: usize = 4;
const CLASSES: usize = 5;

fn array(shape: impl Into<Shape>, f: impl Fn(f64) -> f64) -> Array {
    let shape = shape.into();
    let data: Vec<f64> = (0..shape.elements()).map(|i| f(i as f64)).collect();
    Array::from_f64(shape, &data, DType::F32).unwrap()
}

fn sgd() -> Sgd {
    Sgd { momentum: 0.9, weight_decay: 1e-3, ..Sgd::default() }
}

/// Builds a loss from a batch of samples and labels.
type Loss = Box<dyn for<'g> Fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>>;

/// A network to train.
struct Network {
    name: &'static str,
    sample: Vec<usize>,
    optimizer: Optimizer,
    loss: Loss,
}

impl Network {
    fn new(name: &'static str, sample: &[usize], network: Sequential, rule: impl wgrad::optim::Rule + 'static) -> Self {
        let optimizer = Optimizer::new(rule, network.parameters());
        let loss: Loss =
            Box::new(move |x, y| loss::cross_entropy(network.forward(x, Mode::Train), y, CrossEntropy::default()));
        Network { name, sample: sample.to_vec(), optimizer, loss }
    }

    fn of_config(name: &'static str, config: &Config, sample: &[usize], smoothing: f64) -> Self {
        let model = Model::build(config, sample).unwrap();
        let optimizer = config.build_optimizer(model.network.parameters()).unwrap();
        let (input, network) = (model.input, model.network);
        let loss: Loss = Box::new(move |x, y| {
            let options = CrossEntropy { label_smoothing: smoothing, ..CrossEntropy::default() };
            loss::cross_entropy(network.forward(x, Mode::Train), y, options)
        });
        Network { name, sample: input, optimizer, loss }
    }

    /// The program of a training step as a `Trainer` makes it: a batch is gathered by the step index.
    fn step<'g>(&self, g: &'g Graph) -> Case<'g> {
        let shape = [&[ROWS], &self.sample[..]].concat();
        let x = Variable::new("x", array(shape, |i| (i * 0.37).sin()));
        let labels: Vec<u32> = (0..ROWS as u32).map(|i| i * 7 % CLASSES as u32).collect();
        let y = Variable::new("y", Array::new([ROWS], labels).unwrap());
        let rates = Variable::new("lr", Array::from(vec![0.1f32, 0.05, 0.025, 0.0125]));
        let step = g.step();
        let number = |n: usize| g.scalar(n as f64, DType::U32);
        let epoch = step / number(ROWS / BATCH);
        let rows = g.iota([BATCH], 0) + (step - epoch * number(ROWS / BATCH)) * number(BATCH);
        let (x, y) = (g.variable(&x).index_select(0, rows), g.variable(&y).index_select(0, rows));
        let mean = (self.loss)(x, y);
        let lr = g.variable(&rates).index_select(0, epoch.reshape([1])).reshape(());
        self.optimizer.minimize(mean, lr);
        // Not 0, as after some steps: near 0 Adam's step depends on a gradient's sign alone.
        let state = self.optimizer.state().map(|v| (v.clone(), array(v.initial().shape(), |i| 0.05 + 0.04 * i.sin())));
        let variables = state.collect();
        Case { name: self.name.into(), graph: g, outputs: vec![mean], inputs: Vec::new(), variables }
    }
}

fn networks() -> Vec<Network> {
    let mut rng = Generator::new(7);
    let config = |name: &str| Config::preset(name).unwrap();
    let mut networks = vec![
        Network::of_config("cnn", &config("cnn"), &[40], 0.0),
        Network::of_config("mlp", &config("mlp"), &[40], 0.0),
        Network::of_config("logistic", &config("logistic"), &[40], 0.0),
        Network::of_config("network.toml", &Config::from_file("examples/network.toml").unwrap(), &[40], 0.05),
    ];
    let small = |rng: &mut Generator| {
        Sequential::new()
            .push(Linear::new(8, 6, rng))
            .push(Tanh)
            .push(Dropout::new(0.3))
            .push(Linear::new(6, CLASSES, rng))
    };
    networks.push(Network::new("sgd, dropout", &[8], small(&mut rng), sgd()));
    networks.push(Network::new("nesterov, dropout", &[8], small(&mut rng), Sgd { nesterov: true, ..sgd() }));
    networks.push(Network::new("adam, dropout", &[8], small(&mut rng), Adam::default()));
    networks.push(Network::new("adamw, dropout", &[8], small(&mut rng), Adam::adamw()));
    let options = || ConvOptions::new().padding(1);
    let conv1d = Sequential::new()
        .push(Conv1d::new(2, 3, 3, options().stride(2), &mut rng))
        .push(Relu)
        .push(Flatten)
        .push(Linear::new(12, CLASSES, &mut rng));
    networks.push(Network::new("conv1d", &[2, 8], conv1d, Adam::default()));
    let conv2d = Sequential::new()
        .push(Conv2d::new(1, 3, [3, 3], options(), &mut rng))
        .push(Relu)
        .push(Conv2d::new(3, 2, [3, 3], options().stride([2, 2]), &mut rng))
        .push(Flatten)
        .push(Dropout::new(0.2))
        .push(Linear::new(8, CLASSES, &mut rng));
    networks.push(Network::new("conv2d", &[1, 4, 4], conv2d, sgd()));
    let dropouts =
        Sequential::new().push(Dropout::new(0.4)).push(Dropout::new(0.4)).push(Linear::new(8, CLASSES, &mut rng));
    networks.push(Network::new("two dropouts", &[8], dropouts, sgd()));
    networks.push(shared(&mut rng));
    networks.push(half(&mut rng));
    networks
}

/// One layer used twice, and its weight a third time.
fn shared(rng: &mut Generator) -> Network {
    let (hidden, last) = (Linear::new(8, 8, rng), Linear::new(8, CLASSES, rng));
    let parameters = Sequential::new().push(hidden.clone()).push(last.clone()).parameters();
    let loss: Loss = Box::new(move |x, y| {
        let twice = hidden.forward(hidden.forward(x, Mode::Train).tanh(), Mode::Train).tanh();
        let thrice = twice.matmul(x.graph().variable(hidden.weight()));
        loss::cross_entropy(last.forward(thrice, Mode::Train), y, CrossEntropy::default())
    });
    Network { name: "shared weights", sample: vec![8], optimizer: Optimizer::new(sgd(), parameters), loss }
}

/// Products in half precision, parameters and loss in single.
fn half(rng: &mut Generator) -> Network {
    let (hidden, last) = (Linear::new(8, 6, rng).without_bias(), Linear::new(6, CLASSES, rng).without_bias());
    let parameters = Sequential::new().push(hidden.clone()).push(last.clone()).parameters();
    let loss: Loss = Box::new(move |x, y| {
        let weight = |layer: &Linear| x.graph().variable(layer.weight()).cast(DType::F16).t();
        let h = x.cast(DType::F16).matmul(weight(&hidden)).relu();
        loss::cross_entropy(h.matmul(weight(&last)).cast(DType::F32), y, CrossEntropy::default())
    });
    Network { name: "f16", sample: vec![8], optimizer: Optimizer::new(sgd(), parameters), loss }
}

fn check_samples(sessions: &mut [(String, Session)]) {
    for sample in samples::all() {
        let g = Graph::new();
        let values = sample.values(5);
        let inputs: Vec<(String, Array)> = values.into_iter().enumerate().map(|(k, v)| (format!("x{k}"), v)).collect();
        let tensors: Vec<Tensor<'_>> = inputs.iter().map(|(n, v)| g.input(n, v.shape(), v.dtype())).collect();
        let output = (sample.build)(&g, &tensors);
        Case { name: format!("{sample:?}"), graph: &g, outputs: vec![output], inputs, variables: Vec::new() }
            .check(sessions);
    }
}

fn check_networks(sessions: &mut [(String, Session)]) {
    for network in networks() {
        let g = Graph::new();
        let compared = network.step(&g).check(sessions);
        assert!(compared > 0.99, "{}: only {compared} of the values have a bound", network.name);
    }
}

#[test]
fn samples_agree_without_each_pass() {
    check_samples(&mut cpu_sessions());
}

#[test]
fn training_steps_agree_without_each_pass() {
    check_networks(&mut cpu_sessions());
}

#[cfg(feature = "gpu")]
#[test]
fn training_steps_agree_without_passes_on_a_gpu() {
    check_networks(&mut super::gpu_sessions());
}

/// Shown by `--nocapture`: what each pass of the graph is worth.
#[test]
fn passes_save_nodes_and_launches() {
    for network in networks() {
        let g = Graph::new();
        let case = network.step(&g);
        let count = |passes: Passes| {
            let mut session = cpu(passes);
            let program = session.compile(&g, &case.outputs).unwrap();
            let ids: Vec<_> = case.outputs.iter().map(|t| t.id()).collect();
            let nodes = wgrad::passes::run(&g, &ids, &passes).nodes.len();
            (nodes, session.plan(&program).unwrap().launch_count())
        };
        let all = count(Passes::all());
        let mut report = format!("{}: {} nodes, {} launches", network.name, all.0, all.1);
        for name in ["simplify", "common_subexpressions", "dead_code"] {
            let without = count(Passes::all().without(name).unwrap());
            report += &format!("; {} and {} without {name}", without.0, without.1);
            assert!(all.0 < without.0 && all.1 <= without.1, "{report}");
        }
        eprintln!("{report}");
    }
}
