//! What makes the difference: the same trainings with one thing changed.

use super::networks::Network;
use wgrad::train::{AugmentConfig, Config, LayerConfig, OptimizerConfig, ScheduleConfig, Unit};

const fn changed(label: &'static str, file: &'static str, change: fn(&mut Config)) -> Network {
    Network { change, ..Network::of(label, file) }
}

/// Networks of the table with a change each.
pub const CHANGES: &[Network] = &[
    Network::of("MLP, 256 hidden units", "mlp_256"),
    changed("MLP, random changes", "mlp", augment),
    changed("CNN, batches shuffled", "cnn", |config| config.shuffle = true),
    changed("CNN, random changes", "cnn", augment),
    changed("small TCN, no dilation", "small", |config| each_conv(&mut config.model.layers, &mut undilated)),
    changed("small TCN, no batch norm", "small", |config| without_batch_norm(&mut config.model.layers)),
    changed("small TCN, no residuals", "small", without_residuals),
    changed("small TCN, no average pool", "small", |config| {
        config.model.layers.retain(|layer| !matches!(layer, LayerConfig::AdaptiveAvgPool1d { .. }));
    }),
    changed("small TCN, constant rate", "small", |config| {
        config.schedule = ScheduleConfig::Constant { warmup: None, unit: Unit::Epoch };
        if let OptimizerConfig::Adamw { lr, .. } = &mut config.optimizer {
            *lr = 0.01;
        }
    }),
    changed("small TCN, random changes", "small", augment),
];

/// Shifts, scales and noise, anew each time that a sample is seen.
fn augment(config: &mut Config) {
    config.data.augment = Some(AugmentConfig { shift: 8, scale: 0.2, noise: 0.05 });
}

fn each_conv(layers: &mut [LayerConfig], change: &mut impl FnMut(&mut LayerConfig)) {
    for layer in layers {
        match layer {
            LayerConfig::Residual { layers } => each_conv(layers, change),
            LayerConfig::Conv1d { .. } => change(layer),
            _ => {}
        }
    }
}

fn undilated(layer: &mut LayerConfig) {
    if let LayerConfig::Conv1d { padding, dilation, kernel_size, .. } = layer {
        (*padding, *dilation) = (*kernel_size / 2, 1);
    }
}

fn without_batch_norm(layers: &mut Vec<LayerConfig>) {
    layers.retain(|layer| !matches!(layer, LayerConfig::BatchNorm1d(_)));
    for layer in layers {
        if let LayerConfig::Residual { layers } = layer {
            without_batch_norm(layers);
        }
    }
}

fn without_residuals(config: &mut Config) {
    let unfold = |layer: LayerConfig| match layer {
        LayerConfig::Residual { layers } => layers,
        other => vec![other],
    };
    let layers = std::mem::take(&mut config.model.layers);
    config.model.layers = layers.into_iter().flat_map(unfold).collect();
}
