//! XOR with a two-layer network: the forward pass, the backward pass and the optimiser are one program, run 2,000
//! times.
//!
//! ```text
//! $ cargo run --release --example xor
//! 0 xor 0 = 0.000
//! 0 xor 1 = 1.000
//! 1 xor 0 = 1.000
//! 1 xor 1 = 0.000
//! loss after 2000 steps on cpu: 0.00022
//! ```

use wgrad::nn::loss::{self, BceWithLogits};
use wgrad::nn::{Generator, Linear, Mode, Module, Sequential, Tanh};
use wgrad::optim::{Adam, Optimizer};
use wgrad::{Array, Device, Graph, Session};

fn main() -> wgrad::Result<()> {
    let mut rng = Generator::new(1);
    let model = Sequential::new().push(Linear::new(2, 8, &mut rng)).push(Tanh).push(Linear::new(8, 1, &mut rng));
    let inputs = Array::from([[0.0f32, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]);
    let targets = Array::from([[0.0f32], [1.0], [1.0], [0.0]]);

    let train = Graph::new();
    let logits = model.forward(train.constant(&inputs), Mode::Train);
    let cost = loss::bce_with_logits(logits, train.constant(&targets), BceWithLogits::default());
    Optimizer::new(Adam::default(), model.parameters()).minimize(cost, 0.01);

    let infer = Graph::new();
    let probability = model.forward(infer.constant(&inputs), Mode::Eval).sigmoid();

    let mut session = Session::new(Device::auto())?;
    let step = session.compile(&train, &[cost])?;
    let predict = session.compile(&infer, &[probability])?;
    session.run_steps(&step, &[], 1_999)?;
    let last = session.run(&step, &[])?[0].item()?;
    let out = session.run(&predict, &[])?.remove(0);
    for (row, y) in inputs.as_slice::<f32>()?.chunks(2).zip(out.as_slice::<f32>()?) {
        println!("{} xor {} = {y:.3}", row[0], row[1]);
    }
    println!("loss after 2000 steps on {}: {last:.5}", session.device_name());
    Ok(())
}
