//! Training runs: configuration, the fit loop, and the run folder.
//!
//! ```
//! use wgrad::train::{Config, Trainer};
//! let mut config = Config::preset("mlp")?;
//! config.epochs = 1;
//! config.data.num_samples = Some(500);
//! let data = config.data.load()?;
//! let mut trainer = Trainer::new(&config, &data, wgrad::Device::cpu())?;
//! let record = trainer.epoch()?;
//! assert!(record.epoch == 1 && record.train_loss.is_finite());
//! # Ok::<(), wgrad::Error>(())
//! ```

mod config;
mod evaluation;
mod layers;
mod metrics;
mod model;
mod programs;
mod run;
mod trainer;

pub use config::{
    AnnealKind, Approximate, AvgPoolConfig, BatchNormConfig, Config, ConvTransposeConfig, DataConfig, FanConfig,
    InitConfig, KernelSize, LayerConfig, LossConfig, MaxPoolConfig, ModelConfig, Monitor, NonlinearityConfig,
    OptimizerConfig, PRESETS, ParamGroupConfig, RecurrentConfig, RecurrentOutput, RnnConfig, RnnNonlinearity,
    ScheduleConfig, ThresholdKind, Unit, WarmupConfig, WarmupKind,
};
pub use metrics::{EpochRecord, Metrics};
pub use model::Model;
pub use run::{Prediction, Run, RunFolder};
pub use trainer::Trainer;
