//! The networks of the table: their settings files, and what others publish about them.

use std::path::Path;
use wgrad::Result;
use wgrad::train::Config;

/// A network of the table.
#[derive(Debug)]
pub struct Network {
    /// Its name in the table.
    pub label: &'static str,
    /// The name of its settings file, without the ending.
    pub file: &'static str,
    /// The accuracy that the authors publish, in percent.
    pub published: Option<f64>,
    /// The same on shuffled positions; without it, the network is not trained on them.
    pub shuffled: Option<f64>,
    /// Why its accuracy may be below the published one.
    pub note: &'static str,
    /// What is changed in the settings of the file.
    pub change: fn(&mut Config),
}

impl Network {
    /// The settings of its file as they are.
    pub const fn of(label: &'static str, file: &'static str) -> Self {
        Network { label, file, published: None, shuffled: None, note: "", change: |_| {} }
    }

    const fn published(self, default: f64, shuffled: f64) -> Self {
        Network { published: Some(default), shuffled: Some(shuffled), ..self }
    }

    /// Its settings.
    pub fn config(&self) -> Result<Config> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/mnist1d_table");
        let mut config = Config::from_file(folder.join(format!("{}.toml", self.file)))?;
        (self.change)(&mut config);
        Ok(config)
    }
}

/// What a human expert reaches, says the authors' table.
pub(super) const HUMAN: f64 = 96.0;
/// The same on shuffled positions, "about".
pub(super) const HUMAN_SHUFFLED: f64 = 30.0;

/// The networks of the table: the authors' four, and four more.
pub const NETWORKS: &[Network] = &[
    Network::of("logistic regression", "logistic").published(32.0, 32.0),
    Network {
        note: "with 256 hidden units, mlp_256.toml, it reaches 68",
        ..Network::of("MLP", "mlp").published(68.0, 68.0)
    },
    Network::of("CNN", "cnn").published(94.0, 56.0),
    Network {
        note: "1,280 steps of 50 samples here, 6,000 of 100 there",
        ..Network::of("GRU", "gru").published(91.0, 57.0)
    },
    Network::of("residual", "residual"),
    Network::of("dilated", "dilated"),
    Network::of("TCN", "tcn"),
    Network::of("small TCN", "small"),
];
