//! One kernel launch: a kernel with its operands.

use super::{BufferId, Kernel, Operand};

/// One kernel launch.
#[derive(Debug, Clone)]
pub struct Launch {
    /// What to run.
    pub kernel: Kernel,
    /// What it reads.
    pub inputs: Vec<Operand>,
    /// What it writes.
    pub outputs: Vec<Operand>,
    /// Buffers whose contents matter only during this launch: partial results between the dispatches of a GPU. The
    /// planner adds as many as the backend asks for.
    pub scratch: Vec<BufferId>,
}

impl Launch {
    /// A launch without scratch buffers.
    pub fn new(kernel: impl Into<Kernel>, inputs: Vec<Operand>, outputs: Vec<Operand>) -> Launch {
        Launch { kernel: kernel.into(), inputs, outputs, scratch: Vec::new() }
    }

    /// The launch of a kernel that does this one's work and `other`'s, whose outputs follow.
    pub fn absorbing(&self, other: &Launch, kernel: impl Into<Kernel>) -> Launch {
        let outputs = [self.outputs.as_slice(), &other.outputs].concat();
        Launch::new(kernel, self.inputs.clone(), outputs)
    }

    /// Bytes read and written if every element moves once.
    pub fn bytes(&self) -> u64 {
        self.inputs.iter().chain(&self.outputs).map(Operand::bytes).sum()
    }
}
