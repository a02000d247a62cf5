//! Every specialised shader that operations and their gradients use on a kind of device: the list that `wgrad kernels`
//! prints and the portability tests translate. No GPU is needed.

use super::cases::Case;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::samples::Sample;
use crate::plan::{Target, lower};
use crate::wgsl::{self, Dispatch, GpuTarget, Shader};
use std::collections::HashMap;

/// A specialised shader for a kind of device, with the first dispatch that uses it.
#[derive(Debug, Clone)]
pub struct Specialisation {
    /// The samples or other graphs that use the shader, such as `matmul 64x64x64`, in the order found.
    pub asked_by: Vec<String>,
    /// A description of the kernel launch; may be empty.
    pub describe: String,
    /// The dispatch: its shader, parameters, bindings and workgroup count.
    pub dispatch: Dispatch,
}

impl Specialisation {
    /// The shader.
    pub fn shader(&self) -> &Shader {
        &self.dispatch.shader
    }
    /// The name of the kernel: that of its shader file.
    pub fn name(&self) -> &'static str {
        self.dispatch.shader.name
    }
}

/// A set of specialisations without duplicates.
#[derive(Debug, Default)]
pub struct Kernels {
    found: Vec<Specialisation>,
    index: HashMap<Shader, usize>,
}

impl Kernels {
    /// The specialisations of the given samples, forward and backward, on devices of this kind. Samples with 16-bit
    /// floats are skipped if the target does not support them.
    ///
    /// ```
    /// use wgrad::ops::samples;
    /// use wgrad::wgsl::GpuTarget;
    /// use wgrad::verify::kernels::Kernels;
    /// let kernels = Kernels::of_samples(&samples::all(), &GpuTarget::default())?;
    /// let matmul = kernels.iter().find(|k| k.name() == "matmul").expect("there are matmuls among the samples");
    /// assert!(matmul.shader().wgsl()?.contains("@compute"));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of planning; none are known.
    pub fn of_samples(samples: &[Sample], target: &GpuTarget) -> Result<Kernels> {
        let mut kernels = Kernels::default();
        for sample in samples {
            let (case, graph) = (Case::plain(sample, 0), Graph::new());
            let Some(values) = case.build(&graph) else {
                graph.check()?;
                continue;
            };
            if !target.f16 && graph.nodes().iter().any(|node| node.ty.dtype == DType::F16) {
                continue;
            }
            let ids: Vec<NodeId> = values.iter().map(|(_, t)| t.id()).collect();
            kernels.add(&graph, &ids, target, &format!("{sample:?}"))?;
        }
        Ok(kernels)
    }

    /// Adds the specialisations that the plan of a graph uses.
    ///
    /// # Errors
    /// If the graph cannot be planned for such a device.
    pub fn add(&mut self, graph: &Graph, outputs: &[NodeId], target: &GpuTarget, asked_by: &str) -> Result<()> {
        let limits = Target { max_buffers: target.storage_buffers as usize, backend: target, ..Target::default() };
        let plan = lower(graph, outputs, &limits)?;
        for launch in &plan.launches {
            for dispatch in wgsl::dispatches(launch, target)? {
                let next = self.found.len();
                let at = *self.index.entry(dispatch.shader.clone()).or_insert(next);
                if at == next {
                    let describe = launch.kernel.describe();
                    self.found.push(Specialisation { asked_by: Vec::new(), describe, dispatch });
                }
                let users = &mut self.found[at].asked_by;
                if users.last().is_none_or(|last| last != asked_by) {
                    users.push(asked_by.to_string());
                }
            }
        }
        Ok(())
    }

    /// All specialisations, in the order found.
    pub fn iter(&self) -> impl Iterator<Item = &Specialisation> {
        self.found.iter()
    }
}
