//! Weights in and out: `.safetensors` files with the names and shapes of PyTorch's `state_dict`.

use crate::array::Array;
use crate::data::atomic_write;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::nn::Module;
use crate::session::Session;
use crate::shape::{Shape, TensorType};
use crate::variable::Variable;
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;
use std::path::Path;

/// The suffix of the counter that PyTorch keeps in a batch norm and does not need with a fixed momentum.
const TRACKED: &str = "num_batches_tracked";

/// Whether all elements are finite.
pub(super) fn is_finite(array: &Array) -> bool {
    array.to_f64().iter().all(|x| x.is_finite())
}

/// A network's state as a `.safetensors` file, which the same network in PyTorch loads with `strict=True`. `sample` is
/// the shape of a sample, if it is known, `steps` the number of training steps.
pub(super) fn to_safetensors(state: &[(String, Array)], sample: Option<&[usize]>, steps: u64) -> Result<Vec<u8>> {
    let problem =
        |e: safetensors::SafeTensorError| Error::Internal(format!("could not write the model as safetensors: {e}"));
    let counter = (steps as i64).to_le_bytes();
    let mut views = Vec::new();
    for (name, array) in state {
        let dtype = dtype_of(array.dtype());
        views.push((name.clone(), TensorView::new(dtype, array.shape().to_vec(), array.bytes()).map_err(problem)?));
        if let Some(layer) = name.strip_suffix("running_mean") {
            let view = TensorView::new(Dtype::I64, Vec::new(), &counter).map_err(problem)?;
            views.push((format!("{layer}{TRACKED}"), view));
        }
    }
    // The sample's shape: a finished run needs it to rebuild the network without the data.
    // Only one entry, so that files are reproducible: a `HashMap` with more is written in a different order each
    // time.
    let metadata = sample.map(|sample| {
        let shape = sample.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        HashMap::from([("input".to_string(), shape)])
    });
    safetensors::serialize(views, metadata).map_err(problem)
}

/// The file's name for a dtype.
pub(super) fn dtype_of(dtype: DType) -> Dtype {
    match dtype {
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::U32 => Dtype::U32,
        DType::I32 => Dtype::I32,
    }
}

/// The shape of a sample that a run's model file states.
pub(super) fn sample_shape(bytes: &[u8]) -> Option<Vec<usize>> {
    let (_, header) = SafeTensors::read_metadata(bytes).ok()?;
    header.metadata().as_ref()?.get("input")?.split(',').map(|n| n.parse().ok()).collect()
}

/// The values of a tensor of floats as f32; `None` for other types.
fn as_f32(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = view.data();
    let pairs = || bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
    Some(match view.dtype() {
        Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Dtype::F16 => pairs().map(|b| f16::from_le_bytes(b).to_f32()).collect(),
        Dtype::BF16 => pairs().map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
        Dtype::F64 => {
            let wide = bytes
                .chunks_exact(8)
                .map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32);
            wide.collect()
        }
        _ => return None,
    })
}

/// Writes the parameters and buffers of a network, as `session` has them, to a `.safetensors` file with PyTorch's names:
/// `module.load_state_dict(safetensors.torch.load_file(path))` takes it. The file is written under another name and renamed.
///
/// ```
/// use wgrad::nn::{Generator, Linear, Mode, Module};
/// use wgrad::train::{load_weights, save_weights};
/// use wgrad::{Array, DType, Device, Graph, Session};
/// let (layer, mut session) = (Linear::new(2, 1, &mut Generator::new(1)), Session::new(Device::cpu())?);
/// let g = Graph::new();
/// let y = layer.forward(g.input("x", [1, 2], DType::F32), Mode::Eval);
/// session.compile(&g, &[y])?; // now the session has the layer's parameters
/// session.write(layer.weight(), &Array::from([[3.0f32, 4.0]]))?;
/// let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("layer.safetensors");
/// save_weights(&path, &layer, &mut session)?;
/// let mut other = Session::new(Device::reference())?;
/// load_weights(&path, &layer, &mut other)?;
/// assert_eq!(other.read(layer.weight())?, Array::from([[3.0f32, 4.0]]));
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Value`] if no program of the session uses a parameter, [`Error::File`] if the file cannot be written; errors of
/// the device.
pub fn save_weights(path: impl AsRef<Path>, network: &dyn Module, session: &mut Session) -> Result<()> {
    let read = |(name, variable): (String, Variable)| Ok((name, session.read(&variable)?));
    let state: Vec<(String, Array)> = network.state_dict().into_iter().map(read).collect::<Result<_>>()?;
    let bytes = to_safetensors(&state, None, 0)?;
    atomic_write(path, |file| file.write_all(&bytes))
}

/// Sets the parameters and buffers of a network in `session` to those of a `.safetensors` file. f16, bf16 and f64 are
/// converted to f32.
///
/// # Errors
/// [`Error::File`] that lists the missing, the unexpected and the misshaped names, if the file does not fit.
pub fn load_weights(path: impl AsRef<Path>, network: &dyn Module, session: &mut Session) -> Result<()> {
    load(path.as_ref(), network, session, false)
}

/// The floats of a `.safetensors` file by name, as f32; tensors of other types are left out.
///
/// # Errors
/// [`Error::File`] if the file cannot be read or is damaged.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, Array)>> {
    let bytes = std::fs::read(path).map_err(|e| Error::file(path, format!("cannot be read: {e}")))?;
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|e| Error::file(path, format!("is not a whole safetensors file: {e}")))?;
    let mut found = Vec::new();
    for (name, view) in tensors.iter() {
        if let Some(values) = as_f32(&view) {
            found.push((name.to_string(), Array::new(Shape::from(view.shape()), values)?));
        }
    }
    Ok(found)
}

/// Writes the weights in the file at `path` to the network's variables. f16, bf16 and f64 are converted to f32.
///
/// # Errors
/// [`Error::File`] that lists, for a file that does not fit, the missing, the unexpected and the misshaped names. With
/// `partial` only those that fit in name and shape are taken, and it is an error if there are none.
pub(super) fn load(path: &Path, network: &dyn Module, session: &mut Session, partial: bool) -> Result<()> {
    let bytes = std::fs::read(path).map_err(|e| Error::file(path, format!("cannot be read: {e}")))?;
    load_bytes(path, &bytes, network, session, partial)
}

/// As [`load`], from the file's content.
pub(super) fn load_bytes(
    path: &Path,
    bytes: &[u8],
    network: &dyn Module,
    session: &mut Session,
    partial: bool,
) -> Result<()> {
    let wrong = |message: String| Error::file(path, message);
    let tensors =
        SafeTensors::deserialize(bytes).map_err(|e| wrong(format!("is not a whole safetensors file: {e}")))?;
    let state = network.state_dict();
    let (mut missing, mut misshaped, mut taken) = (Vec::new(), Vec::new(), Vec::new());
    for (name, variable) in &state {
        let Ok(view) = tensors.tensor(name) else {
            missing.push(format!("`{name}`"));
            continue;
        };
        let ty: TensorType = variable.tensor_type();
        match as_f32(&view).filter(|_| view.shape() == &ty.shape[..]) {
            Some(values) => taken.push((name, variable, Array::new(ty.shape.clone(), values)?)),
            None => {
                let found = Shape::from(view.shape());
                misshaped.push(format!("`{name}` is {:?}{found}, but the network takes {ty}", view.dtype()));
            }
        }
    }
    let known = |name: &str| state.iter().any(|(own, _)| own == name) || name.ends_with(TRACKED);
    let mut unexpected: Vec<String> =
        tensors.names().into_iter().filter(|name| !known(name)).map(|name| format!("`{name}`")).collect();
    unexpected.sort();
    let lists = [("missing", &missing), ("unexpected", &unexpected), ("of another shape or type", &misshaped)];
    let problems: Vec<String> = lists
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what}: {}", names.join(", ")))
        .collect();
    if !problems.is_empty() && (!partial || taken.is_empty()) {
        let hint = if partial { "nothing fits" } else { "init_partial takes what fits" };
        return Err(wrong(format!("does not fit the network ({hint}); {}", problems.join("; "))));
    }
    for (name, variable, value) in taken {
        if !is_finite(&value) {
            return Err(wrong(format!("`{name}` has a NaN or an infinity")));
        }
        session.write(variable, &value)?;
    }
    Ok(())
}
