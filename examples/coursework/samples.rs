//! What augmentation makes of a sample, read from the device.

use super::common::Options;
use wgrad::data::{Dataset, Samples, Split, Targets};
use wgrad::train::{
    AugmentConfig, Config, DataConfig, InitConfig, LayerConfig, LossConfig, ModelConfig, OptimizerConfig,
    ScheduleConfig, Task, Trainer, Unit,
};
use wgrad::{Error, Result};

/// How many versions of the sample are made of each kind. A power of two: see [`seen`].
pub const COUNT: usize = 256;

/// One sample with the versions of it that training sees.
#[derive(Debug)]
pub struct Versions {
    /// The settings.
    pub augment: AugmentConfig,
    /// The sample.
    pub original: Vec<f32>,
    /// Its class.
    pub label: u32,
    /// [`COUNT`] versions with the shift alone.
    pub shifted: Vec<Vec<f32>>,
    /// With the factor alone.
    pub scaled: Vec<Vec<f32>>,
    /// With the noise alone.
    pub noisy: Vec<Vec<f32>>,
    /// With all of them.
    pub all: Vec<Vec<f32>>,
}

/// Makes versions of the first training sample.
pub fn versions(options: &Options, augment: &AugmentConfig, data: &Dataset) -> Result<Versions> {
    let original = data.train.select(&[0])?.x.to_f32()?;
    let label = data.train.y.classes().and_then(|labels| labels.first().copied()).unwrap_or_default();
    let none = AugmentConfig::default();
    let AugmentConfig { shift, scale, noise } = *augment;
    let of = |augment| seen(options, augment, &original);
    Ok(Versions {
        shifted: of(AugmentConfig { shift, ..none })?,
        scaled: of(AugmentConfig { scale, ..none })?,
        noisy: of(AugmentConfig { noise, ..none })?,
        all: of(*augment)?,
        augment: *augment,
        original,
        label,
    })
}

/// What a training step sees of a sample that is in the batch [`COUNT`] times.
///
/// The step is an ordinary one, of a network that keeps what it sees: a linear layer with weights 0, an output for each row of
/// the batch, and as targets 1 for the row's own output and 0 for the others. All outputs are 0, so the gradient of the mean
/// absolute error with respect to row j of the weights is `−x_j / n²` with n = [`COUNT`]. With the learning rate n² the weights
/// become the samples, to the last bit, because n² is a power of two.
pub fn seen(options: &Options, augment: AugmentConfig, sample: &[f32]) -> Result<Vec<Vec<f32>>> {
    let n = COUNT;
    let rows = Samples::new(sample.repeat(n), [sample.len()])?;
    let own = (0..n * n).map(|k| if k / n == k % n { 1.0 } else { 0.0 }).collect();
    let targets = Targets::Values(Samples::new(own, [n])?);
    let data = Dataset::new(Split::of(rows, targets)?, None, None, 0)?;
    let zero = InitConfig::Zeros {};
    let layer =
        LayerConfig::Linear { in_features: None, out_features: n, bias: false, weight_init: zero, bias_init: zero };
    let lr = (n * n) as f64;
    let config = Config {
        task: Some(Task::Regression),
        batch: n,
        data: DataConfig { augment: Some(augment), ..DataConfig::default() },
        model: ModelConfig { input: None, layers: vec![layer] },
        loss: Some(LossConfig::L1 {}),
        optimizer: OptimizerConfig::Sgd { lr, momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay: 0.0 },
        schedule: ScheduleConfig::Constant { warmup: None, unit: Unit::Epoch },
        ..Config::default()
    };
    let mut trainer = Trainer::open(&config, &data, || options.session())?;
    trainer.steps(1)?;
    let state = trainer.state_dict()?;
    let (_, weights) = state.first().ok_or_else(|| Error::Internal("the layer has no weights".into()))?;
    Ok(weights.as_slice::<f32>()?.chunks(sample.len()).map(<[f32]>::to_vec).collect())
}

impl Versions {
    /// By how many positions to the right each shifted version was moved; `None` if it is not the original, moved.
    pub fn moves(&self) -> Vec<Option<i64>> {
        let (length, most) = (self.original.len() as i64, self.augment.shift as i64);
        let of = |version: &Vec<f32>| {
            let moved = |by: i64, at: i64| self.original[(at - by).rem_euclid(length) as usize];
            (-most..=most).find(|&by| (0..length).all(|at| version[at as usize] == moved(by, at)))
        };
        self.shifted.iter().map(of).collect()
    }

    /// The factor of each scaled version: that which fits best.
    pub fn factors(&self) -> Vec<f64> {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let size = dot(&self.original, &self.original);
        self.scaled.iter().map(|version| dot(version, &self.original) / size).collect()
    }

    /// What was added to each number of the noisy versions.
    pub fn added(&self) -> Vec<f64> {
        let all = self.noisy.iter().flat_map(|version| version.iter().zip(&self.original));
        all.map(|(noisy, original)| f64::from(*noisy) - f64::from(*original)).collect()
    }

    /// Prints what was found in the versions.
    pub(super) fn print(&self) {
        let moves: Vec<i64> = self.moves().into_iter().flatten().collect();
        let (most, factors, added) = (self.augment.shift as i64, self.factors(), self.added());
        let counts: Vec<String> =
            (-most..=most).map(|by| format!("{by}: {}", moves.iter().filter(|&&found| found == by).count())).collect();
        let (low, high) = factors.iter().fold((f64::MAX, f64::MIN), |(l, h), f| (l.min(*f), h.max(*f)));
        let deviation = (added.iter().map(|v| v * v).sum::<f64>() / added.len() as f64).sqrt();
        println!("{COUNT} versions of one sample:");
        println!("  shift {most}: moved by {}", counts.join(", "));
        println!("  scale {}: factors from {low:.3} to {high:.3}", self.augment.scale);
        println!("  noise {}: added numbers of deviation {deviation:.4}", self.augment.noise);
    }
}
