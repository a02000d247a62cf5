//! WGSL for elementwise expressions and for the expressions reductions take in.
//!
//! The text depends on a [`Generated`] alone: expressions, and how each operand's positions follow from the point.
//! Sizes, strides and offsets are words of the uniform, so launches of other sizes share the text (and thereby the
//! pipeline).

mod axes;
mod fuse;
mod piece;
mod write;

pub use fuse::{Stores, fuse, generate, store};
pub use piece::Piece;

use crate::dtype::DType;
use crate::kernels::{Expr, Instr};
use crate::ops::reduce::ReduceKind;
use std::fmt::Write as _;
use write::Writer;

/// How an operand's position in its buffer follows from the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// It is not in a buffer: it is what the kernel has computed for this point.
    Result,
    /// The same position for all points.
    Fixed,
    /// The point's row-major number.
    Linear,
    /// A stride for each axis.
    Strided,
}

/// Where an operand is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Access {
    /// Its buffer's binding, counted from the first storage buffer.
    pub binding: u8,
    /// Its positions.
    pub pattern: Pattern,
    /// For a part that computes four points at a time: whether theirs are an aligned vector. If not, they are the same.
    pub vector: bool,
    /// The component of `held` that has its value: see [`Stores::held`].
    pub held: Option<u8>,
}

/// A storage binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Buffer {
    /// Its elements' type.
    pub dtype: DType,
    /// Whether it is written.
    pub written: bool,
    /// Whether it is bound as vectors of four.
    pub vector: bool,
}

/// The generated parts of a shader.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Generated {
    /// The storage bindings.
    pub buffers: Vec<Buffer>,
    /// What the shader's own text calls the first of them, which it declares itself. If there are none, the
    /// parameters are generated too.
    pub named: Vec<&'static str>,
    /// The parts.
    pub parts: Vec<Part>,
}

/// An expression with the layout of what it reads and writes: all that its WGSL text depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Part {
    /// Where it goes.
    pub region: Region,
    /// What to compute.
    pub expr: Expr,
    /// Each of the expression's loads.
    pub loads: Vec<Access>,
    /// Each output.
    pub outputs: Vec<Access>,
    /// Axes of the iteration space, after merging. For a reduction: the kept ones.
    pub outer_rank: u8,
    /// The reduced axes, after merging; 0 but for what a reduction reads.
    pub inner_rank: u8,
    /// Which component of the kernel's own coordinates each outer axis is; empty if they follow from the point's
    /// number.
    pub natural: Vec<u8>,
    /// Whether it computes four neighbouring points at a time.
    pub wide: bool,
    /// For a region `store`: whether the kernel asks for what a row has in common.
    pub held: bool,
    /// Words of the uniform that are the kernel's own, after the two numbers of points.
    pub own: u8,
}

/// A region of a shader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Region {
    /// An elementwise kernel's body: the point is `i`.
    Elementwise,
    /// A function of `o` and `i`, an output of a reduction and a reduced point: what is reduced, or where it was found.
    Value(&'static str),
    /// What a reduction does with a result `v` found at `place`, for output `o`.
    Reduced(ReduceKind),
    /// What part of a reduction does with the `place` of its result, for output `o`.
    ReducedPlace,
    /// The functions that a kernel calls with each element of its result, or four of them, with the (first) element's
    /// number and coordinates.
    Store,
    /// A function of `i` that is read as an operand.
    Operand(&'static str),
}

impl Region {
    /// Its marker in the text.
    pub(in crate::wgsl) fn marker(self) -> &'static str {
        match self {
            Region::Elementwise => "elementwise",
            Region::Reduced(_) | Region::Store => "store",
            Region::ReducedPlace => "store_place",
            Region::Value(name) | Region::Operand(name) => name,
        }
    }
    fn is_value(self) -> bool {
        matches!(self, Region::Value(_))
    }
}

/// The uniform's layout, written in one order and read back by position.
struct Layout {
    /// The number of points, and of reduced ones.
    start: usize,
    outer_sizes: usize,
    inner_sizes: usize,
    loads: Vec<usize>,
    outputs: Vec<usize>,
    /// For each instruction that has words of its own (iota and gather: two; a fill that is not finite: one), their
    /// start.
    instrs: Vec<usize>,
    end: usize,
}

impl Part {
    fn rank(&self) -> usize {
        usize::from(self.outer_rank) + usize::from(self.inner_rank)
    }

    fn layout(&self, start: usize) -> Layout {
        let mut next = start + 2 + usize::from(self.own);
        let mut take = |count: usize| {
            next += count;
            next - count
        };
        let outer_sizes = take(self.outer_rank.into());
        let inner_sizes = take(self.inner_rank.into());
        let rank = self.rank();
        let mut access = |a: &Access| {
            take(match a.pattern {
                Pattern::Result => 0,
                Pattern::Fixed | Pattern::Linear => 1,
                Pattern::Strided => 1 + rank,
            })
        };
        let loads = self.loads.iter().map(&mut access).collect();
        let outputs = self.outputs.iter().map(&mut access).collect();
        let instrs = self.expr.instrs.iter().map(|i| take(own_words(i))).collect();
        Layout { start, outer_sizes, inner_sizes, loads, outputs, instrs, end: next }
    }

    fn uses_run(&self) -> bool {
        self.expr.instrs.iter().any(|i| matches!(i, Instr::Step | Instr::Random { .. }))
    }
}

impl Generated {
    pub(in crate::wgsl) fn uses_f16(&self) -> bool {
        self.buffers.iter().any(|buffer| buffer.dtype == DType::F16)
    }

    fn uses_run(&self) -> bool {
        self.parts.iter().any(Part::uses_run)
    }

    /// Words of the uniform that belong to the parts.
    fn words(&self) -> usize {
        self.parts.iter().fold(0, |start, part| part.layout(start).end)
    }

    /// The region that declares what generated code uses: its name and its text.
    pub(in crate::wgsl) fn declarations(&self) -> (&'static str, String) {
        let mut text = String::new();
        let name = if self.named.is_empty() {
            let vectors = self.words().div_ceil(4);
            let _ = writeln!(text, "@group(0) @binding(0) var<uniform> params: array<vec4<u32>, {vectors}>;");
            "bindings"
        } else {
            "extra"
        };
        for (k, buffer) in self.buffers.iter().enumerate().skip(self.named.len()) {
            let (access, binding) = (if buffer.written { "read_write" } else { "read" }, k + 1);
            let ty = if buffer.vector { format!("vec4<{}>", buffer.dtype) } else { buffer.dtype.to_string() };
            let _ = writeln!(text, "@group(0) @binding({binding}) var<storage, {access}> b{k}: array<{ty}>;");
        }
        if self.uses_run() {
            text.push_str("var<immediate> run: Run;\n");
        }
        (name, text)
    }

    /// The parts' regions: their names and texts.
    pub(in crate::wgsl) fn regions(&self) -> Vec<(&'static str, String)> {
        let mut start = 0;
        let mut text = |part: &Part| {
            let layout = part.layout(start);
            start = layout.end;
            (part.region.marker(), Writer::new(self, part, layout).text())
        };
        self.parts.iter().map(&mut text).collect()
    }
}

/// Words of the uniform an instruction has for itself.
fn own_words(instr: &Instr) -> usize {
    match *instr {
        Instr::Iota { .. } | Instr::Gather { .. } => 2,
        // WGSL has no such literal, and may assume there are no such values: it gets them at run time.
        Instr::Fill { dtype: DType::F32, bits } if !f32::from_bits(bits).is_finite() => 1,
        _ => 0,
    }
}
