//! A 1-D convolutional network on MNIST-1D, built directly with the library: layers, a training step that selects its
//! batch on the device, and an evaluation program that shares the parameters.
//!
//! ```text
//! $ cargo run --release --example mnist1d_cnn
//! epoch  1: last batch's loss 2.1322, validation accuracy 17.6 %
//! …
//! epoch 10: last batch's loss 0.8564, validation accuracy 63.7 %
//! 36 launches per step on cpu
//! ```

use wgrad::data::{Mnist1dConfig, Mnist1dPreset, generate};
use wgrad::nn::loss::{self, CrossEntropy};
use wgrad::nn::{Conv1d, Flatten, Generator, Linear, Mode, Module, Relu, Sequential};
use wgrad::optim::{Optimizer, Sgd};
use wgrad::{Array, ConvOptions, DType, Device, Graph, Session, Variable};

const BATCH: usize = 100;
const EPOCHS: u32 = 10;

fn labels(split: &wgrad::data::Split) -> Vec<u32> {
    split.y.classes().unwrap_or_default().to_vec()
}

fn main() -> wgrad::Result<()> {
    let data = generate(&Mnist1dConfig::udl())?.dataset(Mnist1dPreset::Udl)?;
    let rows = data.train.rows();
    let mut rng = Generator::new(1);
    let mut conv = |channels| Conv1d::new(channels, 15, 3, ConvOptions::new().stride(2), &mut rng);
    let (first, second, third) = (conv(1), conv(15), conv(15));
    let model = Sequential::new()
        .push(first)
        .push(Relu)
        .push(second)
        .push(Relu)
        .push(third)
        .push(Relu)
        .push(Flatten)
        .push(Linear::new(60, 10, &mut rng));

    // The data set stays on the device; each step gathers its batch by the step index.
    let x = Variable::new("train.x", Array::new([rows, 1, 40], data.train.x.to_f32()?)?);
    let y = Variable::new("train.y", Array::new([rows], labels(&data.train))?);
    let g = Graph::new();
    let batches = g.scalar((rows / BATCH) as f64, DType::U32);
    let pick = g.iota([BATCH], 0) + g.step() % batches * g.scalar(BATCH as f64, DType::U32);
    let logits = model.forward(g.variable(&x).index_select(0, pick), Mode::Train);
    let cost = loss::cross_entropy(logits, g.variable(&y).index_select(0, pick), CrossEntropy::default());
    let sgd = Sgd { momentum: 0.9, ..Sgd::default() };
    Optimizer::new(sgd, model.parameters()).minimize(cost, 0.05);

    let val = data.val.ok_or_else(|| wgrad::Error::config("data", "has no validation set"))?;
    let e = Graph::new();
    let logits = model.forward(e.constant(Array::new([val.rows(), 1, 40], val.x.to_f32()?)?), Mode::Eval);
    let accuracy = logits.argmax(1).eq(e.constant(Array::new([val.rows()], labels(&val))?)).cast(DType::F32).mean(..);

    let mut session = Session::new(Device::auto())?;
    let train = session.compile(&g, &[cost])?;
    let eval = session.compile(&e, &[accuracy])?;
    for epoch in 1..=EPOCHS {
        session.run_steps(&train, &[], (rows / BATCH) as u32 - 1)?;
        let loss = session.run(&train, &[])?[0].item()?;
        let accuracy = session.run(&eval, &[])?[0].item()?;
        println!("epoch {epoch:2}: last batch's loss {loss:.4}, validation accuracy {:.1} %", 100.0 * accuracy);
    }
    println!("{} launches per step on {}", session.plan(&train).map_or(0, |p| p.launch_count()), session.device_name());
    Ok(())
}
