//! Kernel launches: a kernel with its operands.

use super::{BufferId, Kernel, Operand};

/// One kernel launch.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The kernel.
    pub kernel: Kernel,
    /// The operands that it reads.
    pub inputs: Vec<Operand>,
    /// The operands that it writes.
    pub outputs: Vec<Operand>,
    /// Temporary buffers of this launch: partial results between its dispatches on a GPU. The planner adds those that
    /// the backend requests.
    pub scratch: Vec<BufferId>,
}

impl Launch {
    /// A launch without scratch buffers.
    pub fn new(kernel: impl Into<Kernel>, inputs: Vec<Operand>, outputs: Vec<Operand>) -> Launch {
        Launch { kernel: kernel.into(), inputs, outputs, scratch: Vec::new() }
    }

    /// The launch of a kernel that does the work of this launch and of `other`, whose outputs follow this one's.
    pub fn absorbing(&self, other: &Launch, kernel: impl Into<Kernel>) -> Launch {
        let outputs = [self.outputs.as_slice(), &other.outputs].concat();
        Launch::new(kernel, self.inputs.clone(), outputs)
    }

    /// Bytes read and written, if every element is accessed once.
    pub fn bytes(&self) -> u64 {
        self.inputs.iter().chain(&self.outputs).map(Operand::bytes).sum()
    }
}
