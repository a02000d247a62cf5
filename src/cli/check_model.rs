//! `wgrad check --model`: checks a training step on a device and finds the first wrong operation.

use super::open::GpuArgs;
use super::output::{Failure, Outcome, grouped, note, print};
use std::path::Path;
use wgrad::data::atomic_write;
use wgrad::train::{Config, Trainer};
use wgrad::verify::{Trial, divergence};
use wgrad::{Array, Device, Error, Session, Variable};

/// The settings of the check.
#[derive(Debug)]
pub(super) struct ModelCheck<'a> {
    /// A preset or a settings file.
    pub(super) settings: &'a str,
    /// The step to check; those before it run on the CPU.
    pub(super) step: u32,
    pub(super) against: &'a Device,
    pub(super) device: &'a Device,
    pub(super) gpu: &'a GpuArgs,
    /// Overrides the seed of the settings.
    pub(super) seed: Option<u32>,
    pub(super) bundles: Option<&'a Path>,
    pub(super) json: Option<&'a Path>,
}

/// The values, in a trainer's session, of all variables of a graph.
pub(super) fn values(trainer: &mut Trainer, graph: &wgrad::Graph) -> Result<Vec<(Variable, Array)>, Error> {
    let read = |v: Variable| Ok((v.clone(), trainer.session().read(&v)?));
    graph.variables().into_iter().map(read).collect()
}

impl ModelCheck<'_> {
    pub(super) fn run(&self) -> Outcome {
        let mut config = Config::resolve(self.settings)?;
        config.seed = self.seed.map_or(config.seed, u64::from);
        config.check()?;
        let data = config.data.load_as(config.target_kind())?;
        config.check_data(&data)?;
        // Opened first, so that a missing device is reported at once.
        let name = self.gpu.open(self.device, wgrad::passes::Passes::all())?.device_name();
        let mut trainer = Trainer::new(&config, &data, Device::cpu())?;
        note(format_args!("step {} of {} on {name}", self.step, config.name));
        for step in 1..self.step {
            trainer.run_step(step - 1)?;
        }
        let graph = trainer.step_graph(self.step - 1);
        let mut trial = Trial::new(&graph, &[]);
        trial.variables = values(&mut trainer, &graph)?;
        (trial.step, trial.seed) = (self.step - 1, config.seed);
        let mut other = match self.against {
            Device::Reference => None,
            device => Some(Session::new(device.clone())?),
        };
        let search = divergence::search(&trial, &mut |passes| self.gpu.open(self.device, passes), other.as_mut())?;
        if let Some(path) = self.json {
            let text = serde_json::to_string_pretty(&search).map_err(|e| Error::Internal(format!("JSON: {e}")))?;
            atomic_write(path, |file| writeln!(file, "{text}"))?;
        }
        let against = match self.against {
            Device::Reference => "the reference".to_string(),
            device => format!("the device `{device}`"),
        };
        let nodes = grouped(graph.nodes().len() as u64);
        print(format_args!(
            "step {} of {} ({nodes} nodes) on {name}, against {against}\n\
             error {}, in units of its bound, at `{}`; {} of {} elements \
             compared",
            self.step,
            config.name,
            if search.worst >= f64::MAX { "infinite".to_string() } else { format!("{:.3}", search.worst) },
            search.value,
            grouped(search.compared as u64),
            grouped(search.elements as u64),
        ))?;
        let Some(found) = &search.divergence else {
            return print("no divergence: all updates are within their error bounds");
        };
        let mut out = format!("\nfirst divergence:\n{found}\n");
        match (self.bundles, &found.bundle) {
            (Some(folder), Some(bundle)) => {
                let saved = bundle.save_in(folder)?;
                out.push_str(&format!(
                    "saved to: {0}\nreplay: wgrad check --replay {0} --device DEVICE",
                    saved.display()
                ));
            }
            (None, Some(_)) => out.push_str("use --bundle DIR to save it for a replay elsewhere"),
            _ => {}
        }
        Err(Failure::Check(out))
    }
}
