//! Settings of the optimiser.

use super::Config;
use crate::error::{Error, Result};
use crate::optim::{Adadelta, Adagrad, Adam, Clip, Lion, Optimizer, ParamGroup, RmsProp, Rule, Sgd};
use crate::variable::Variable;
use serde::{Deserialize, Serialize};

/// The optimiser, with PyTorch's names and defaults.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)]
pub enum OptimizerConfig {
    Sgd {
        lr: f64,
        #[serde(default)]
        momentum: f64,
        #[serde(default)]
        dampening: f64,
        #[serde(default)]
        nesterov: bool,
        #[serde(default)]
        weight_decay: f64,
    },
    Adam {
        lr: f64,
        #[serde(default = "adam_betas")]
        betas: [f64; 2],
        #[serde(default = "eps_8")]
        eps: f64,
        #[serde(default)]
        weight_decay: f64,
        #[serde(default)]
        amsgrad: bool,
    },
    Adamw {
        lr: f64,
        #[serde(default = "adam_betas")]
        betas: [f64; 2],
        #[serde(default = "eps_8")]
        eps: f64,
        #[serde(default = "adamw_decay")]
        weight_decay: f64,
        #[serde(default)]
        amsgrad: bool,
    },
    Rmsprop {
        lr: f64,
        #[serde(default = "alpha")]
        alpha: f64,
        #[serde(default = "eps_8")]
        eps: f64,
        #[serde(default)]
        weight_decay: f64,
        #[serde(default)]
        momentum: f64,
        #[serde(default)]
        centered: bool,
    },
    Adagrad {
        lr: f64,
        #[serde(default)]
        lr_decay: f64,
        #[serde(default)]
        weight_decay: f64,
        #[serde(default)]
        initial_accumulator_value: f64,
        #[serde(default = "eps_10")]
        eps: f64,
    },
    Adadelta {
        lr: f64,
        #[serde(default = "rho")]
        rho: f64,
        #[serde(default = "eps_6")]
        eps: f64,
        #[serde(default)]
        weight_decay: f64,
    },
    Lion {
        lr: f64,
        #[serde(default = "lion_betas")]
        betas: [f64; 2],
        #[serde(default)]
        weight_decay: f64,
    },
}

fn adam_betas() -> [f64; 2] {
    [0.9, 0.999]
}
fn lion_betas() -> [f64; 2] {
    [0.9, 0.99]
}
fn eps_6() -> f64 {
    1e-6
}
fn eps_8() -> f64 {
    1e-8
}
fn eps_10() -> f64 {
    1e-10
}
fn adamw_decay() -> f64 {
    0.01
}
fn alpha() -> f64 {
    0.99
}
fn rho() -> f64 {
    0.9
}

/// A parameter group with its own settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParamGroupConfig {
    /// Patterns of parameter names, such as `0.weight`; `*` matches any text, as in `*.bias`.
    pub parameters: Vec<String>,
    /// Factor on the learning rate.
    #[serde(default = "same")]
    pub lr_factor: f64,
    /// The learning rate, instead of a factor; the schedule changes it alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Replaces the optimiser's weight decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
}

fn same() -> f64 {
    1.0
}

/// Whether `name` matches `pattern`, in which `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => {
            let Some(after) = name.strip_prefix(start) else { return false };
            (0..=after.len()).filter(|&k| after.is_char_boundary(k)).any(|k| matches(rest, &after[k..]))
        }
    }
}

fn at_least_0(key: &str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        Ok(())
    } else {
        Err(Error::config(key, format!("must be a number of 0 or more, but is {value}")))
    }
}

impl OptimizerConfig {
    fn lr_and_decay(&mut self) -> (&mut f64, &mut f64) {
        match self {
            OptimizerConfig::Sgd { lr, weight_decay, .. }
            | OptimizerConfig::Adam { lr, weight_decay, .. }
            | OptimizerConfig::Adamw { lr, weight_decay, .. }
            | OptimizerConfig::Rmsprop { lr, weight_decay, .. }
            | OptimizerConfig::Adagrad { lr, weight_decay, .. }
            | OptimizerConfig::Adadelta { lr, weight_decay, .. }
            | OptimizerConfig::Lion { lr, weight_decay, .. } => (lr, weight_decay),
        }
    }
    /// The base learning rate.
    pub fn lr(&self) -> f64 {
        let mut copy = *self;
        *copy.lr_and_decay().0
    }
    /// Sets the base learning rate.
    pub fn set_lr(&mut self, value: f64) {
        *self.lr_and_decay().0 = value;
    }
    /// The update rule.
    pub fn rule(&self) -> Box<dyn Rule> {
        let adam = |betas: [f64; 2], eps, weight_decay, decoupled, amsgrad| {
            Box::new(Adam { betas: betas.into(), eps, weight_decay, decoupled, amsgrad })
        };
        match *self {
            OptimizerConfig::Sgd { momentum, dampening, nesterov, weight_decay, .. } => {
                Box::new(Sgd { momentum, dampening, nesterov, weight_decay })
            }
            OptimizerConfig::Adam { betas, eps, weight_decay, amsgrad, .. } => {
                adam(betas, eps, weight_decay, false, amsgrad)
            }
            OptimizerConfig::Adamw { betas, eps, weight_decay, amsgrad, .. } => {
                adam(betas, eps, weight_decay, true, amsgrad)
            }
            OptimizerConfig::Rmsprop { alpha, eps, weight_decay, momentum, centered, .. } => {
                Box::new(RmsProp { alpha, eps, weight_decay, momentum, centered })
            }
            OptimizerConfig::Adagrad { lr_decay, weight_decay, initial_accumulator_value, eps, .. } => {
                Box::new(Adagrad { lr_decay, weight_decay, initial_accumulator_value, eps })
            }
            OptimizerConfig::Adadelta { rho, eps, weight_decay, .. } => Box::new(Adadelta { rho, eps, weight_decay }),
            OptimizerConfig::Lion { betas, weight_decay, .. } => Box::new(Lion { betas: betas.into(), weight_decay }),
        }
    }
    pub(super) fn check(&self) -> Result<()> {
        let (lr, weight_decay) = {
            let mut copy = *self;
            let (lr, decay) = copy.lr_and_decay();
            (*lr, *decay)
        };
        let positive = |keys: &[(&str, f64)]| {
            keys.iter().try_for_each(|(key, value)| at_least_0(&format!("optimizer.{key}"), *value))
        };
        let below_1 = |key: &str, values: &[f64]| {
            if values.iter().all(|b| (0.0..1.0).contains(b)) {
                return Ok(());
            }
            Err(Error::config(format!("optimizer.{key}"), format!("must lie in [0, 1), but is {values:?}")))
        };
        positive(&[("lr", lr), ("weight_decay", weight_decay)])?;
        match *self {
            OptimizerConfig::Sgd { momentum, dampening, nesterov, .. } => {
                positive(&[("momentum", momentum)])?;
                if !dampening.is_finite() {
                    return Err(Error::config("optimizer.dampening", "must be a number"));
                }
                if nesterov && (momentum == 0.0 || dampening != 0.0) {
                    return Err(Error::config("optimizer.nesterov", "needs momentum and zero dampening"));
                }
                Ok(())
            }
            OptimizerConfig::Adam { betas, eps, .. } | OptimizerConfig::Adamw { betas, eps, .. } => {
                positive(&[("eps", eps)])?;
                below_1("betas", &betas)
            }
            OptimizerConfig::Rmsprop { alpha, eps, momentum, .. } => {
                positive(&[("eps", eps), ("momentum", momentum)])?;
                below_1("alpha", &[alpha])
            }
            OptimizerConfig::Adagrad { lr_decay, initial_accumulator_value, eps, .. } => positive(&[
                ("lr_decay", lr_decay),
                ("initial_accumulator_value", initial_accumulator_value),
                ("eps", eps),
            ]),
            OptimizerConfig::Adadelta { rho, eps, .. } => {
                positive(&[("eps", eps)])?;
                below_1("rho", &[rho])
            }
            OptimizerConfig::Lion { betas, .. } => below_1("betas", &betas),
        }
    }
}

impl Config {
    /// Builds the optimiser for a network's named parameters. A parameter belongs to the first of `param_groups` that
    /// names it, or to none.
    pub fn build_optimizer(&self, parameters: Vec<(String, Variable)>) -> Result<Optimizer> {
        let (frozen, mut rest): (Vec<_>, Vec<_>) =
            parameters.into_iter().partition(|(name, _)| self.freeze.iter().any(|pattern| matches(pattern, name)));
        if let Some(pattern) = self.freeze.iter().find(|p| !frozen.iter().any(|(name, _)| matches(p, name))) {
            let names: Vec<&str> = rest.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!("`{pattern}` matches no parameter; those not frozen are {}", names.join(", "));
            return Err(Error::config("freeze", message));
        }
        if rest.is_empty() {
            return Err(Error::config("freeze", "leaves no parameter to train"));
        }
        let mut groups = Vec::new();
        for (index, group) in self.param_groups.iter().enumerate() {
            let named = |name: &str| group.parameters.iter().any(|pattern| matches(pattern, name));
            let (own, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(name, _)| named(name));
            rest = others;
            if let Some(pattern) = group.parameters.iter().find(|p| !own.iter().any(|(name, _)| matches(p, name))) {
                let names: Vec<&str> = rest.iter().map(|(name, _)| name.as_str()).collect();
                let message =
                    format!("`{pattern}` matches no parameter; those without a group are {}", names.join(", "));
                return Err(Error::config(format!("param_groups[{index}].parameters"), message));
            }
            let mut settings = self.optimizer;
            if let Some(weight_decay) = group.weight_decay {
                *settings.lr_and_decay().1 = weight_decay;
            }
            let factor = group.lr.map_or(group.lr_factor, |lr| lr / self.optimizer.lr());
            groups.push(ParamGroup::boxed(settings.rule(), own).lr_factor(factor));
        }
        groups.insert(0, ParamGroup::boxed(self.optimizer.rule(), rest));
        let optimizer = Optimizer::of_groups(groups);
        let clip = self.clip_grad_norm.map(Clip::Norm).or(self.clip_grad_value.map(Clip::Value));
        Ok(match clip {
            Some(clip) => optimizer.clip(clip),
            None => optimizer,
        })
    }

    pub(super) fn check_optimizer(&self) -> Result<()> {
        self.optimizer.check()?;
        for (index, group) in self.param_groups.iter().enumerate() {
            at_least_0(&format!("param_groups[{index}].lr_factor"), group.lr_factor)?;
            at_least_0(&format!("param_groups[{index}].lr"), group.lr.unwrap_or(0.0))?;
            if group.lr.is_some() && (group.lr_factor != 1.0 || self.optimizer.lr() == 0.0) {
                let message = "cannot be combined with lr_factor, or with an optimizer.lr of 0";
                return Err(Error::config(format!("param_groups[{index}].lr"), message));
            }
            at_least_0(&format!("param_groups[{index}].weight_decay"), group.weight_decay.unwrap_or(0.0))?;
        }
        for (key, value) in [("clip_grad_norm", self.clip_grad_norm), ("clip_grad_value", self.clip_grad_value)] {
            if let Some(value) = value.filter(|v| !(v.is_finite() && *v > 0.0)) {
                return Err(Error::config(key, format!("must be a positive number, but is {value}")));
            }
        }
        if self.clip_grad_norm.is_some() && self.clip_grad_value.is_some() {
            return Err(Error::config("clip_grad_value", "cannot be combined with clip_grad_norm"));
        }
        match self.ema_decay {
            Some(decay) if !(0.0..1.0).contains(&decay) => {
                Err(Error::config("ema_decay", format!("must lie in [0, 1), but is {decay}")))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_any_part() {
        for (pattern, name) in [("0.weight", "0.weight"), ("*", ""), ("*.bias", "3.bias"), ("1.*.w*t", "1.0.weight")] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("0.weight", "10.weight"), ("*.bias", "3.bias_ih"), ("1.*", "11.weight"), ("", "a")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
