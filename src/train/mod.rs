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
//! assert!(record.epoch == 1 && record.scores.train.loss().is_finite());
//! # Ok::<(), wgrad::Error>(())
//! ```

mod augment;
mod causality;
mod checkpoint;
mod config;
mod evaluation;
mod fit;
mod folder;
mod layers;
mod metrics;
mod model;
mod objective;
mod preprocessing;
mod programs;
mod residency;
mod run;
mod sets;
mod task;
mod trainer;
mod watch;
pub(crate) mod weights;

pub use checkpoint::Checkpoint;
pub use config::{
    AnnealKind, Approximate, AugmentConfig, AvgPoolConfig, BatchNormConfig, CheckpointConfig, Config,
    ConvTransposeConfig, DataConfig, EarlyStoppingConfig, FanConfig, InitConfig, KernelSize, LayerConfig, LossConfig,
    MaxPoolConfig, Missing, ModelConfig, NonlinearityConfig, OptimizerConfig, PRESETS, ParamGroupConfig,
    RecurrentConfig, RecurrentOutput, RnnConfig, RnnNonlinearity, ScheduleConfig, Standardize, ThresholdKind, Unit,
    WarmupConfig, WarmupKind,
};
pub use evaluation::Evaluated;
pub use fit::{Fit, OnDeviceLoss, Report};
pub use folder::RunFolder;
pub use metrics::{Best, EpochRecord, Metric, Metrics, Monitor, Scores, SetName, SetScores};
pub use model::Model;
pub use objective::LabelScores;
pub use preprocessing::{Preprocessing, Scaling};
pub use run::{Prediction, Run};
pub use task::Task;
pub use trainer::{Pause, Trainer};
pub use weights::{load_weights, save_weights};
