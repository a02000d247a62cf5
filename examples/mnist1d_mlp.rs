//! A multilayer perceptron (40-100-100-10) on MNIST-1D with the high-level training API.
//!
//! ```text
//! $ cargo run --release --example mnist1d_mlp
//! epoch 10: loss 0.5476, validation error 41.55 %
//! epoch 20: loss 0.1878, validation error 38.30 %
//! epoch 30: loss 0.1051, validation error 38.05 %
//! epoch 40: loss 0.0797, validation error 37.80 %
//! epoch 50: loss 0.0708, validation error 37.80 %
//! 2000 steps in 0.45 s on cpu
//! ```

use wgrad::Device;
use wgrad::train::{Config, Trainer};

fn main() -> wgrad::Result<()> {
    let mut config = Config::preset("mlp")?;
    config.seed = 1;
    let data = config.data.load()?;
    let mut trainer = Trainer::new(&config, &data, Device::auto())?;
    for _ in 0..config.epochs {
        let record = trainer.epoch()?;
        if record.epoch % 10 == 0 {
            let val = record.scores.val.as_ref().and_then(|val| val.error()).unwrap_or(f64::NAN);
            println!("epoch {:2}: loss {:.4}, validation error {val:.2} %", record.epoch, record.scores.train.loss());
        }
    }
    let metrics = trainer.metrics()?;
    println!("{} steps in {:.2} s on {}", metrics.steps, metrics.train_seconds, metrics.device);
    Ok(())
}
