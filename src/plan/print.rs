//! Printing a plan: one line per launch, or all details.

use super::{BufferKind, Plan};
use crate::error::Result;
use crate::kernels::{Launch, Operand};
use std::fmt::{self, Write};

/// A predicate on the kind of a buffer.
type IsKind = fn(&BufferKind) -> bool;

impl Plan {
    fn operand(&self, operand: &Operand) -> String {
        let buffer = &self.buffers[operand.buffer.index()];
        let name = match &buffer.kind {
            BufferKind::Constant(_) => format!("const{}", operand.buffer.0),
            BufferKind::Input(name) => name.clone(),
            BufferKind::Variable(storage) => match storage.variable_at(&operand.view.range()) {
                Some(variable) => variable.name().to_string(),
                None => format!("{}…", storage.slots[0].0.name()),
            },
            BufferKind::Scratch => format!("b{}", operand.buffer.0),
        };
        format!("{name}:{}{}", operand.dtype, operand.view.shape)
    }

    /// Floating-point operations of a run.
    pub fn flops(&self) -> u64 {
        self.launches.iter().map(|launch| launch.kernel.flops()).sum()
    }

    /// Bytes that a run reads and writes, if each launch accesses every element of its operands once.
    pub fn bytes(&self) -> u64 {
        self.launches.iter().map(Launch::bytes).sum()
    }

    /// The whole plan as text: for each launch its kernel, what it computes, its operands with their sizes and strides,
    /// its FLOPs and bytes, and the lines that `details` adds; then totals and the memory of a run, which are known
    /// before anything is allocated.
    ///
    /// # Errors
    /// Any error of `details`.
    pub fn explain(&self, details: impl Fn(&Launch) -> Result<Vec<String>>) -> Result<String> {
        let mut out = String::new();
        for (index, launch) in self.launches.iter().enumerate() {
            let cost = format!("{}, {}", count(launch.kernel.flops(), "flop"), count(launch.bytes(), "B"));
            let _ = writeln!(out, "{index:3}  {:<18} {cost}", launch.kernel.name());
            let what = launch.kernel.describe();
            if !what.is_empty() {
                let _ = writeln!(out, "     {what}");
            }
            for (role, operands) in [("out", &launch.outputs), ("in", &launch.inputs)] {
                for (k, operand) in operands.iter().enumerate() {
                    let dense = operand.view.is_dense();
                    let strides = if dense { String::new() } else { format!("  strides {:?}", operand.view.strides) };
                    let role = format!("{role}{k}");
                    let _ = writeln!(
                        out,
                        "     {role:<5} {}  {}{strides}",
                        self.operand(operand),
                        count(operand.bytes(), "B")
                    );
                }
            }
            let scratch = launch.scratch.iter().map(|b| self.buffers[b.index()].ty.bytes() as u64).collect::<Vec<_>>();
            if !scratch.is_empty() {
                let plural = if scratch.len() == 1 { "" } else { "s" };
                let bytes = count(scratch.iter().sum(), "B");
                let _ = writeln!(out, "     scratch {} buffer{plural}, {bytes}", scratch.len());
            }
            for line in details(launch)? {
                let _ = writeln!(out, "     {line}");
            }
        }
        let kinds: [(&str, IsKind); 4] = [
            ("variable", |kind| matches!(kind, BufferKind::Variable(_))),
            ("input", |kind| matches!(kind, BufferKind::Input(_))),
            ("constant", |kind| matches!(kind, BufferKind::Constant(_))),
            ("intermediate value", |kind| matches!(kind, BufferKind::Scratch)),
        ];
        let _ = writeln!(
            out,
            "\nper run: {} launches, {}, {} read and written",
            self.launch_count(),
            count(self.flops(), "flop"),
            count(self.bytes(), "B")
        );
        let _ = writeln!(out, "peak memory: {} in {} buffers", count(self.peak_bytes(), "B"), self.buffers.len());
        for (name, is) in kinds {
            let of_kind = self.buffers.iter().filter(|b| is(&b.kind));
            let (number, bytes) = of_kind.fold((0, 0), |(n, bytes), b| (n + 1, bytes + b.ty.bytes() as u64));
            if number > 0 {
                let plural = if number == 1 { "" } else { "s" };
                let _ = writeln!(out, "  {number} {name}{plural}: {}", count(bytes, "B"));
            }
        }
        out.truncate(out.trim_end().len());
        Ok(out)
    }
}

/// 999 B, 1.23 kB, 45.6 Mflop: three significant digits and a decimal prefix.
pub(crate) fn count(value: u64, unit: &str) -> String {
    const PREFIXES: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    if value < 1000 {
        return format!("{value} {unit}");
    }
    let (mut scaled, mut prefix) = (value as f64, 0);
    while scaled >= 999.5 && prefix + 1 < PREFIXES.len() {
        scaled /= 1000.0;
        prefix += 1;
    }
    let decimals = 2 - scaled.log10().floor().clamp(0.0, 2.0) as usize;
    format!("{scaled:.decimals$} {}{unit}", PREFIXES[prefix])
}

/// One line per launch: `3 matmul b4:f32[100, 10] <- x:f32[100, 40] fc.weight:f32[40, 10]  80 kflop 21 kB`.
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

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn counts_have_three_digits() {
        let counts = [0, 999, 1000, 12_345, 999_499, 999_500, 123_456_789].map(|n| count(n, "B"));
        assert_eq!(counts, ["0 B", "999 B", "1.00 kB", "12.3 kB", "999 kB", "1.00 MB", "123 MB"]);
    }
}
