//! Settings of initialisers: a name, or a table with more settings.

use crate::nn::Initializer;
use crate::nn::init::{Fan, Nonlinearity};
use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// The fan to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum FanConfig {
    #[default]
    FanIn,
    FanOut,
}

/// The nonlinearity after the layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum NonlinearityConfig {
    Linear,
    Sigmoid,
    Tanh,
    #[default]
    Relu,
    LeakyRelu,
    Selu,
}

/// How a parameter is initialised: in TOML `"kaiming_uniform"`, or `{ type = "kaiming_uniform", mode = "fan_out" }`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields, remote = "Self")]
#[allow(missing_docs)]
pub enum InitConfig {
    /// PyTorch's default for the layer.
    #[default]
    Default,
    KaimingUniform {
        #[serde(default)]
        mode: FanConfig,
        #[serde(default)]
        nonlinearity: NonlinearityConfig,
        /// The slope of the leaky ReLU.
        #[serde(default)]
        a: f64,
    },
    KaimingNormal {
        #[serde(default)]
        mode: FanConfig,
        #[serde(default)]
        nonlinearity: NonlinearityConfig,
        /// The slope of the leaky ReLU.
        #[serde(default)]
        a: f64,
    },
    XavierUniform {
        #[serde(default = "one")]
        gain: f64,
    },
    XavierNormal {
        #[serde(default = "one")]
        gain: f64,
    },
    Uniform {
        #[serde(default)]
        a: f64,
        #[serde(default = "one")]
        b: f64,
    },
    Normal {
        #[serde(default)]
        mean: f64,
        #[serde(default = "one")]
        std: f64,
    },
    TruncNormal {
        #[serde(default)]
        mean: f64,
        #[serde(default = "one")]
        std: f64,
        #[serde(default = "minus_two")]
        a: f64,
        #[serde(default = "two")]
        b: f64,
    },
    Constant {
        val: f64,
    },
    Zeros {},
    Ones {},
    Orthogonal {
        #[serde(default = "one")]
        gain: f64,
    },
    Sparse {
        sparsity: f64,
        #[serde(default = "hundredth")]
        std: f64,
    },
    Eye {},
    Dirac {
        #[serde(default = "single")]
        groups: usize,
    },
}

fn one() -> f64 {
    1.0
}
fn two() -> f64 {
    2.0
}
fn minus_two() -> f64 {
    -2.0
}
fn hundredth() -> f64 {
    0.01
}
fn single() -> usize {
    1
}

impl InitConfig {
    /// He's uniform initialisation for ReLU.
    pub const KAIMING_UNIFORM: InitConfig =
        InitConfig::KaimingUniform { mode: FanConfig::FanIn, nonlinearity: NonlinearityConfig::Relu, a: 0.0 };

    /// The initialiser; `default` where this is the layer's default.
    pub fn initializer_or(self, default: Initializer) -> Initializer {
        if self == InitConfig::Default { default } else { self.initializer() }
    }

    /// The initialiser.
    pub fn initializer(self) -> Initializer {
        let fan = |mode| if mode == FanConfig::FanIn { Fan::In } else { Fan::Out };
        let follows = |nonlinearity, a| match nonlinearity {
            NonlinearityConfig::Linear => Nonlinearity::Linear,
            NonlinearityConfig::Sigmoid => Nonlinearity::Sigmoid,
            NonlinearityConfig::Tanh => Nonlinearity::Tanh,
            NonlinearityConfig::Relu => Nonlinearity::Relu,
            NonlinearityConfig::LeakyRelu => Nonlinearity::LeakyRelu(a),
            NonlinearityConfig::Selu => Nonlinearity::Selu,
        };
        match self {
            InitConfig::Default => Initializer::Default,
            InitConfig::KaimingUniform { mode, nonlinearity, a } => {
                Initializer::KaimingUniform { mode: fan(mode), nonlinearity: follows(nonlinearity, a) }
            }
            InitConfig::KaimingNormal { mode, nonlinearity, a } => {
                Initializer::KaimingNormal { mode: fan(mode), nonlinearity: follows(nonlinearity, a) }
            }
            InitConfig::XavierUniform { gain } => Initializer::XavierUniform { gain },
            InitConfig::XavierNormal { gain } => Initializer::XavierNormal { gain },
            InitConfig::Uniform { a, b } => Initializer::Uniform(a, b),
            InitConfig::Normal { mean, std } => Initializer::Normal(mean, std),
            InitConfig::TruncNormal { mean, std, a, b } => Initializer::TruncNormal { mean, std, low: a, high: b },
            InitConfig::Constant { val } => Initializer::Constant(val),
            InitConfig::Zeros {} => Initializer::ZEROS,
            InitConfig::Ones {} => Initializer::ONES,
            InitConfig::Orthogonal { gain } => Initializer::Orthogonal { gain },
            InitConfig::Sparse { sparsity, std } => Initializer::Sparse { sparsity, std },
            InitConfig::Eye {} => Initializer::Eye,
            InitConfig::Dirac { groups } => Initializer::Dirac { groups },
        }
    }

    /// Its name, if it has no other settings.
    fn short(&self) -> Option<&'static str> {
        let name = match self {
            InitConfig::Default => "default",
            InitConfig::KaimingUniform { .. } => "kaiming_uniform",
            InitConfig::KaimingNormal { .. } => "kaiming_normal",
            InitConfig::XavierUniform { .. } => "xavier_uniform",
            InitConfig::XavierNormal { .. } => "xavier_normal",
            InitConfig::Zeros {} => "zeros",
            InitConfig::Ones {} => "ones",
            InitConfig::Eye {} => "eye",
            _ => return None,
        };
        (named(name) as Result<Self, serde::de::value::Error>).is_ok_and(|other| other == *self).then_some(name)
    }
}

fn named<E: serde::de::Error>(name: &str) -> Result<InitConfig, E> {
    InitConfig::deserialize(MapDeserializer::new(std::iter::once(("type", name))))
}

impl Serialize for InitConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.short() {
            Some(name) => serializer.serialize_str(name),
            None => InitConfig::serialize(self, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for InitConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrTable;
        impl<'de> Visitor<'de> for NameOrTable {
            type Value = InitConfig;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an initialiser's name, or a table with its `type`")
            }
            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<InitConfig, E> {
                named(name)
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<InitConfig, M::Error> {
                InitConfig::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_any(NameOrTable)
    }
}
