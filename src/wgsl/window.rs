//! Operands that a shader reads as uniforms.
//!
//! A software driver reads storage lane by lane, in a loop with its counter in memory, but gathers from a uniform in
//! a few instructions without a branch. What a uniform may hold is little, so an operand takes up to two windows of
//! its buffer.

use super::{Binding, GpuTarget};
use crate::dtype::DType;
use crate::kernels::Operand;

/// Vectors of four words a uniform binding may have: what WebGPU guarantees, 64 KiB.
const MOST: usize = 4096;
/// Bytes of a window: where shaders read buffers as uniforms, a buffer's size is a multiple of them. So all windows
/// are of one size, and operands of different sizes share a text.
pub const WINDOW: usize = 16 * MOST;

/// Bytes of a buffer, from its start on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first.
    pub start: u64,
    /// How many.
    pub bytes: u64,
}

/// How a shader reads an operand: through its region `name`, which declares the operand's buffer and the functions
/// `{name}_one`, that gives the element at a place, and `{name}_four`, that gives four from an aligned place on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reads {
    /// What its buffer is called, and the second window of it.
    names: [&'static str; 2],
    /// The element from which on places count.
    pub first: usize,
    /// Vectors of four in each window; none if it is read as storage.
    quads: [usize; 2],
}

impl Reads {
    /// As storage.
    pub fn storage(names: [&'static str; 2]) -> Reads {
        Reads { names, first: 0, quads: [0, 0] }
    }

    /// How `operand` is read: as a uniform where that is cheaper and it fits.
    pub fn choose(names: [&'static str; 2], operand: &Operand, target: &GpuTarget) -> Reads {
        let range = operand.view.range();
        let first = range.start / (4 * MOST) * (4 * MOST);
        let windows = (range.end - first).div_ceil(4 * MOST);
        let fits = (1..=2).contains(&windows) && operand.dtype == DType::F32;
        if target.broadcasts() && fits {
            Reads { names, first, quads: [MOST, (windows - 1) * MOST] }
        } else {
            Reads::storage(names)
        }
    }

    /// Whether it is read as a uniform.
    pub fn uniform(&self) -> bool {
        self.quads[0] > 0
    }

    fn windows(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.names.into_iter().zip(self.quads).filter(|&(_, quads)| quads > 0)
    }

    /// What its bindings are called.
    pub fn names(&self) -> Vec<&'static str> {
        if self.uniform() { self.windows().map(|(name, _)| name).collect() } else { vec![self.names[0]] }
    }

    /// Its bindings.
    pub fn bindings(&self, operand: &Operand) -> Vec<Binding> {
        let whole = Binding { buffer: operand.buffer, written: false, window: None };
        if !self.uniform() {
            return vec![whole];
        }
        let windows = self
            .windows()
            .enumerate()
            .map(|(k, (_, quads))| Window { start: 4 * (self.first + 4 * MOST * k) as u64, bytes: 16 * quads as u64 });
        windows.map(|window| Binding { window: Some(window), ..whole }).collect()
    }

    /// The text of its region, if it is another than the shader's own.
    pub fn region(&self) -> Option<String> {
        use std::fmt::Write;
        if !self.uniform() {
            return None;
        }
        let ([name, more], mut text) = (self.names, String::new());
        for (name, quads) in self.windows() {
            let _ = writeln!(text, "@group(0) @binding(0) var<uniform> {name}: array<vec4<f32>, {quads}>;");
        }
        for (function, ty, part) in [("one", "f32", "[at % 4u]"), ("four", "vec4<f32>", "")] {
            let _ = writeln!(text, "fn {name}_{function}(at: u32) -> {ty} {{");
            if self.quads[1] == 0 {
                let _ = writeln!(text, "    return {name}[at / 4u]{part};\n}}");
                continue;
            }
            let _ = writeln!(text, "    let low = {name}[min(at / 4u, {}u)]{part};", MOST - 1);
            let _ = writeln!(text, "    let high = {more}[max(at / 4u, {MOST}u) - {MOST}u]{part};");
            let _ = writeln!(text, "    return select(low, high, at >= {}u);\n}}", 4 * MOST);
        }
        Some(text)
    }
}
