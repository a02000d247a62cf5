//! Host time: tracing and planning a training step, and encoding its runs.
//!
//! `cargo bench` measures; `cargo test` runs each once.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use wgrad::data::Dataset;
use wgrad::nn::loss::{self, CrossEntropy};
use wgrad::nn::{Mode, Module};
use wgrad::optim::Optimizer;
use wgrad::plan::{Target, lower};
use wgrad::train::{Config, Model, Preprocessing, Trainer};
use wgrad::{DType, Device, Graph, Session};

/// The presets to measure.
const PRESETS: [&str; 2] = ["cnn", "mlp"];

/// A preset with a small data set: the host time per step does not depend on its size.
fn preset(name: &str) -> (Config, Dataset) {
    let mut config = Config::preset(name).expect("a preset");
    config.data.num_samples = Some(500);
    let data = config.data.load().expect("generated data");
    (config, data)
}

/// The graph of a training step: forward, loss, backward, update.
fn trace(model: &Model, optimizer: &Optimizer, batch: usize) -> Graph {
    let graph = Graph::new();
    let x = graph.input("x", [&[batch], &model.input[..]].concat(), DType::F32);
    let y = graph.input("y", [batch], DType::U32);
    let mean = loss::cross_entropy(model.network.forward(x, Mode::Train), y, CrossEntropy::default());
    let lr = graph.scalar(0.05, DType::F32);
    optimizer.minimize(mean, lr);
    graph.check().expect("a graph without errors");
    graph
}

fn host(criterion: &mut Criterion) {
    for name in PRESETS {
        let (config, data) = preset(name);
        let preprocessing = Preprocessing::fit(&config, &data).expect("a task");
        let model = Model::for_data(&config, &preprocessing, data.classes).expect("a model");
        let optimizer = config.build_optimizer(model.network.parameters()).expect("an optimiser");
        criterion.bench_function(&format!("trace/{name}"), |b| {
            b.iter(|| black_box(trace(&model, &optimizer, config.batch)));
        });
        let graph = trace(&model, &optimizer, config.batch);
        criterion.bench_function(&format!("plan/{name}"), |b| {
            b.iter(|| lower(black_box(&graph), &[], &Target::default()).expect("a plan"));
        });
        criterion.bench_function(&format!("compile/{name}/cpu"), |b| {
            let session = || Session::new(Device::cpu()).expect("the cpu");
            let compile = |mut session: Session| session.compile(&graph, &[]).map(|program| (session, program));
            b.iter_batched(session, |session| compile(session).expect("a program"), BatchSize::SmallInput);
        });
    }
}

/// Replays of a compiled step. On a GPU, the host time to encode and submit it, with an idle device before each; on the
/// CPU, where nothing is encoded, the whole step.
fn replay(criterion: &mut Criterion) {
    for name in PRESETS {
        let (mut config, data) = preset(name);
        config.epochs = 1;
        for device in [Device::cpu(), Device::gpu()] {
            let Ok(mut trainer) = Trainer::new(&config, &data, device.clone()) else {
                println!("replay/{name}/{device}: SKIPPED, there is no such device");
                continue;
            };
            criterion.bench_function(&format!("replay/{name}/{device}"), |b| {
                b.iter_custom(|steps| {
                    let mut total = std::time::Duration::ZERO;
                    for _ in 0..steps {
                        let start = std::time::Instant::now();
                        trainer.steps(1).expect("a step");
                        total += start.elapsed();
                        trainer.session().finish().expect("the end of a step");
                    }
                    total
                });
            });
        }
    }
}

/// The host time per step in an epoch on a GPU: encoding and submission, many steps per submission, without waiting.
fn encode(criterion: &mut Criterion) {
    for name in PRESETS {
        let (mut config, data) = preset(name);
        (config.epochs, config.batch) = (1, 10);
        let Ok(mut trainer) = Trainer::new(&config, &data, Device::gpu()) else {
            println!("encode/{name}/gpu: SKIPPED, there is no such device");
            continue;
        };
        criterion.bench_function(&format!("encode/{name}/gpu"), |b| {
            b.iter_custom(|steps| {
                let before = trainer.session().host_seconds().expect("host seconds of a GPU");
                trainer.steps(u32::try_from(steps).expect("no more steps than 2^32")).expect("steps");
                let after = trainer.session().host_seconds().expect("host seconds of a GPU");
                trainer.session().finish().expect("the end of the steps");
                std::time::Duration::from_secs_f64(after - before)
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2));
    targets = host, replay, encode
}
criterion_main!(benches);
