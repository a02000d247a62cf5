//! A benchmark case: a small graph with inputs of given shapes.

use crate::array::Array;
use crate::custom::CustomKernel;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId};
use crate::ops::samples::{Build, SampleInput};
use crate::session::{Program, Session};
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::variable::Variable;

/// A benchmark case: a graph to check and time.
pub struct Case {
    /// The name: the operation, a slash, and the shape.
    pub name: String,
    /// The inputs, with the ranges of their values.
    pub inputs: Vec<SampleInput>,
    /// Builds the graph. It is also built for slices of the inputs: see [`Case::along`].
    pub build: Build,
    /// The axes along which the check samples only a few indices.
    pub along: Vec<Along>,
    /// The bytes that a run must read and write, if not all of the inputs and the result: see [`Case::moves`].
    pub bytes: Option<u64>,
}

/// An axis along which the slices of the result are independent: a slice of the output is the result of the graph for
/// the slices of these inputs at the same index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Along {
    /// The inputs that have the axis: the index of each input, and the axis in it.
    pub inputs: Vec<(usize, usize)>,
    /// The axis of the output.
    pub output: usize,
    /// The number of indices to check. The first and the last are always included.
    pub picks: usize,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.name)
    }
}

/// An `f32` input with values between -2 and 2.
pub fn values(shape: impl Into<Shape>) -> SampleInput {
    SampleInput { shape: shape.into(), dtype: DType::F32, range: (-2.0, 2.0) }
}

/// An `f16` input with values between -2 and 2.
pub fn halves(shape: impl Into<Shape>) -> SampleInput {
    SampleInput { dtype: DType::F16, ..values(shape) }
}

/// A `u32` input with values below `below`.
pub fn indices(shape: impl Into<Shape>, below: usize) -> SampleInput {
    SampleInput { shape: shape.into(), dtype: DType::U32, range: (0.0, below as f64) }
}

impl Case {
    /// A case whose check computes the whole result in f64, unless it is restricted by [`Case::along`].
    pub fn new(
        name: impl Into<String>,
        inputs: Vec<SampleInput>,
        build: impl for<'g> Fn(&'g Graph, &[Tensor<'g>]) -> Tensor<'g> + Send + Sync + 'static,
    ) -> Self {
        Case { name: name.into(), inputs, build: Box::new(build), along: Vec::new(), bytes: None }
    }

    /// Restricts the check to `picks` indices of an axis: see [`Along`].
    pub fn along(mut self, inputs: &[(usize, usize)], output: usize, picks: usize) -> Self {
        self.along.push(Along { inputs: inputs.to_vec(), output, picks });
        self
    }

    /// Sets the minimum bytes that a run must read and write, where that is not the size of the inputs and the result:
    /// gathers read only the selected elements.
    pub fn moves(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// The group of the case: the part of the name before the first slash.
    pub fn group(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// The graph of its result from inputs named `in0`, `in1`, …, and the result's node.
    ///
    /// # Errors
    /// If the case's function makes errors.
    pub fn graph(&self) -> Result<(Graph, NodeId)> {
        let graph = Graph::new();
        let inputs = self.inputs.iter().enumerate();
        let inputs: Vec<Tensor<'_>> =
            inputs.map(|(k, input)| graph.input(format!("in{k}"), &input.shape, input.dtype)).collect();
        let output = (self.build)(&graph, &inputs).id();
        drop(inputs);
        graph.check().map_err(|error| Error::value(format!("case `{}`", self.name), error))?;
        Ok((graph, output))
    }

    /// Reproducible values for the inputs.
    pub(super) fn arrays(&self) -> Result<Vec<Array>> {
        let each = self.inputs.iter().enumerate().map(|(k, input)| {
            let (low, high) = input.range;
            let unit = |i: usize| f64::from(hash(i as u32 ^ ((k as u32 + 1) << 27)) >> 8) / f64::from(1u32 << 24);
            let data: Vec<f64> = (0..input.shape.elements()).map(|i| low + (high - low) * unit(i)).collect();
            Array::from_f64(input.shape.clone(), &data, input.dtype)
        });
        each.collect()
    }

    /// Uploads the inputs, as variables, so that runs do not upload them again, and compiles the graph.
    pub(super) fn prepare(&self, session: &mut Session) -> Result<Prepared> {
        let arrays = self.arrays()?;
        let graph = Graph::new();
        let variables = arrays.iter().enumerate().map(|(k, array)| Variable::new(format!("in{k}"), array.clone()));
        let inputs: Vec<Tensor<'_>> = variables.map(|variable| graph.variable(&variable)).collect();
        let output = (self.build)(&graph, &inputs);
        graph.check().map_err(|error| Error::value(format!("case `{}`", self.name), error))?;
        let result = output.tensor_type().bytes();
        let whole = arrays.iter().map(|a| a.bytes().len()).sum::<usize>() + result;
        let program = session.compile(&graph, &[output])?;
        Ok(Prepared { arrays, program, bytes: self.bytes.unwrap_or(whole as u64) })
    }
}

/// The cases of a custom kernel, for its [`bench_inputs`](CustomKernel::bench_inputs), named `NAME/TYPES`.
///
/// The check before the measurement computes the whole result in f64, unless it is restricted by [`Case::along`].
pub fn custom<K: CustomKernel>(kernel: &K) -> Vec<Case> {
    let case = |inputs: Vec<SampleInput>| {
        let name = format!("{}/{}", kernel.name(), crate::custom::label(&inputs).replace(", ", "x").replace(' ', "-"));
        let kernel = kernel.clone();
        Case::new(name, inputs, move |graph, operands| graph.custom(&kernel, operands))
    };
    kernel.bench_inputs().into_iter().map(case).collect()
}

/// A case compiled for a device.
pub(super) struct Prepared {
    pub(super) arrays: Vec<Array>,
    pub(super) program: Program,
    /// The minimum bytes to read and write.
    pub(super) bytes: u64,
}

/// A hash of 32-bit integers (Wellons' lowbias32).
pub(super) fn hash(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}
