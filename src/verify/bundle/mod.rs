//! A run of a graph as a folder of files: the inputs, a device's results, and the expected results.
//!
//! A bundle is self-contained, so that it can be replayed on another device or driver: `bundle.json` (the graph with
//! the attributes of its operations) and `a0.npy`, … (the values of its leaves). For inspection there are
//! `expected0.npy` and `got0.npy`, … (the outputs, then the updates), `graph.txt`, `plan.txt` and the shaders.

mod document;

use super::{Comparison, Trial};
use crate::array::{Array, Data};
use crate::data::{atomic_write, npy};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::session::Session;
use crate::shape::TensorType;
use document::{Arrays, Document};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The version of the file format.
const SCHEMA: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Description {
    schema: u32,
    /// What the bundle reproduces.
    title: String,
    /// wgrad's version.
    version: String,
    /// The device it was recorded on.
    device: String,
    details: serde_json::Value,
    step: u32,
    seed: u64,
    /// The types of the `.npy` files.
    arrays: BTreeMap<String, TensorType>,
    graph: Document,
}

/// A run of a graph that can be saved as files.
#[derive(Debug, Clone)]
pub struct Bundle {
    description: Description,
    arrays: Arrays,
    expected: Vec<Vec<f64>>,
    got: Vec<Array>,
    /// Files for inspection: names and contents.
    notes: Vec<(String, String)>,
}

impl Bundle {
    /// Runs a trial on the session's device and records its inputs, results, plan and shaders.
    ///
    /// # Errors
    /// [`Error::Value`] if the graph has a custom operation, which cannot be saved, or if an input has no value; and
    /// the errors of a run.
    pub fn record(trial: &Trial<'_>, title: &str, session: &mut Session) -> Result<Bundle> {
        let (graph, arrays) = Document::of(trial)?;
        let expected = trial.expected()?;
        let got = trial.run(session)?;
        let outputs: Vec<_> = trial.outputs.iter().map(|&id| trial.graph.tensor(id)).collect();
        let program = session.compile(trial.graph, &outputs)?;
        let mut notes = vec![("graph.txt".to_string(), trial.graph.to_string())];
        if let Some(plan) = session.explain(&program)? {
            notes.push(("plan.txt".into(), plan));
        }
        let shaders = session.wgsl(&program)?.into_iter().enumerate();
        notes.extend(shaders.map(|(k, (name, text))| (format!("{k}-{name}.wgsl"), text)));
        let value =
            |id: &crate::NodeId| expected.values[id.index()].as_ref().map(|v| v.data.clone()).unwrap_or_default();
        let description = Description {
            schema: SCHEMA,
            title: title.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            device: session.device_name(),
            details: session.device_details(),
            step: trial.step,
            seed: trial.seed,
            arrays: arrays.iter().map(|(key, array)| (key.clone(), array.tensor_type())).collect(),
            graph,
        };
        Ok(Bundle { description, arrays, expected: trial.wanted().iter().map(value).collect(), got, notes })
    }

    /// What the bundle reproduces.
    pub fn title(&self) -> &str {
        &self.description.title
    }

    /// The device it was recorded on.
    pub fn device(&self) -> &str {
        &self.description.device
    }

    /// Writes the bundle into a new subfolder of `parent`, named after the title, and returns its path.
    ///
    /// # Errors
    /// [`Error::File`] naming the file or folder that could not be written.
    pub fn save_in(&self, parent: impl AsRef<Path>) -> Result<PathBuf> {
        let letters = self.title().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
        let words: String = letters.take(60).collect();
        let name = words.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
        let parent = parent.as_ref();
        let failed = |path: &Path, e: io::Error| Error::file(path, format!("could not create: {e}"));
        std::fs::create_dir_all(parent).map_err(|e| failed(parent, e))?;
        let mut folder = parent.join(&name);
        for k in 2.. {
            match std::fs::create_dir(&folder) {
                Ok(()) => break,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => folder = parent.join(format!("{name}-{k}")),
                Err(e) => return Err(failed(&folder, e)),
            }
        }
        let text = serde_json::to_string_pretty(&self.description)
            .map_err(|e| Error::Internal(format!("a bundle as JSON: {e}")))?;
        atomic_write(folder.join("bundle.json"), |w| writeln!(w, "{text}"))?;
        for (key, array) in &self.arrays {
            write_npy(&folder.join(format!("{key}.npy")), array)?;
        }
        for (k, (got, expected)) in self.got.iter().zip(&self.expected).enumerate() {
            write_npy(&folder.join(format!("got{k}.npy")), got)?;
            npy::write(folder.join(format!("expected{k}.npy")), got.shape(), expected)?;
        }
        for (name, text) in &self.notes {
            atomic_write(folder.join(name), |w| w.write_all(text.as_bytes()))?;
        }
        Ok(folder)
    }

    /// Reads a bundle's folder.
    ///
    /// # Errors
    /// [`Error::File`] naming the file that is missing or invalid.
    pub fn read(folder: impl AsRef<Path>) -> Result<Bundle> {
        let path = folder.as_ref().join("bundle.json");
        let text = std::fs::read_to_string(&path).map_err(|e| Error::file(&path, format!("could not be read: {e}")))?;
        let description: Description =
            serde_json::from_str(&text).map_err(|e| Error::file(&path, format!("is not a valid bundle: {e}")))?;
        if description.schema != SCHEMA {
            let message = format!("has format version {}, but this wgrad reads {SCHEMA}", description.schema);
            return Err(Error::file(&path, message));
        }
        let mut arrays = Arrays::new();
        for (key, ty) in &description.arrays {
            // The name comes from a file, so it must not be a path out of the folder.
            if !key.chars().all(|c| c.is_ascii_alphanumeric()) {
                return Err(Error::file(&path, format!("the array name `{key}` is not alphanumeric")));
            }
            let file = folder.as_ref().join(format!("{key}.npy"));
            ty.shape.check().map_err(|message| Error::file(&path, message))?;
            arrays.insert(key.clone(), read_npy(&file, ty)?);
        }
        let graph = Graph::new();
        description.graph.restore(&graph, &arrays).map_err(|message| Error::file(&path, message))?;
        Ok(Bundle { description, arrays, expected: Vec::new(), got: Vec::new(), notes: Vec::new() })
    }

    /// Runs the bundle on the session's device and compares each output and update with the reference.
    pub fn replay(&self, session: &mut Session) -> Result<Vec<Comparison>> {
        let graph = Graph::new();
        let mut trial =
            self.description.graph.restore(&graph, &self.arrays).map_err(|message| Error::value("bundle", message))?;
        (trial.step, trial.seed) = (self.description.step, self.description.seed);
        trial.compare(session, &trial.expected()?)
    }
}

/// Writes an array as a `.npy` file: floats as f32, which represents every f16 exactly, and `i32` as i64.
fn write_npy(path: &Path, array: &Array) -> Result<()> {
    let shape = array.shape();
    match array.data() {
        Data::F32(v) => npy::write(path, shape, v),
        Data::F16(v) => npy::write(path, shape, &v.iter().map(|x| x.to_f32()).collect::<Vec<_>>()),
        Data::U32(v) => npy::write(path, shape, v),
        Data::I32(v) => npy::write(path, shape, &v.iter().map(|&x| i64::from(x)).collect::<Vec<_>>()),
    }
}

fn read_npy(path: &Path, ty: &TensorType) -> Result<Array> {
    let array = npy::read(path)?;
    if array.shape[..] != ty.shape[..] {
        return Err(Error::file(path, format!("has shape {:?}, but bundle.json says {}", array.shape, ty.shape)));
    }
    Array::from_f64(ty.shape.clone(), &array.values, ty.dtype)
}
