//! Printing a plan: one line a launch.

use super::{BufferKind, Operand, Plan};
use std::fmt;

impl Plan {
    fn operand(&self, operand: &Operand) -> String {
        let buffer = &self.buffers[operand.buffer.index()];
        let name = match &buffer.kind {
            BufferKind::Constant(_) => format!("const{}", operand.buffer.0),
            BufferKind::Input(name) => name.clone(),
            BufferKind::Variable(storage) => match storage.at(operand.view.offset) {
                Some(variable) if operand.view.shape.elements() <= variable.tensor_type().shape.elements() => {
                    variable.name().to_string()
                }
                _ => format!("{}…", storage.slots[0].0.name()),
            },
            BufferKind::Scratch => format!("b{}", operand.buffer.0),
        };
        format!("{name}:{}{}", operand.dtype, operand.view.shape)
    }
}

/// One line a launch: `3 matmul b4:f32[100, 10] <- x:f32[100, 40] fc.weight:f32[40, 10]  80 kflop 21 kB`.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, launch) in self.launches.iter().enumerate() {
            let list = |operands: &[Operand]| operands.iter().map(|o| self.operand(o)).collect::<Vec<_>>().join(" ");
            writeln!(
                f,
                "{index:3} {:<14} {} <- {}  {} flop, {} B",
                launch.kernel.name(),
                list(&launch.outputs),
                list(&launch.inputs),
                launch.kernel.flops(),
                launch.bytes()
            )?;
        }
        writeln!(f, "{} launches, {} buffers, {} bytes", self.launch_count(), self.buffers.len(), self.peak_bytes())
    }
}
