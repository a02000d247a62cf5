//! Expressions laid out for a shader: axes merged, positions turned into patterns, sizes put in the uniform.

use super::axes::{merge, pattern, quad};
use super::{Access, Buffer, Part, Pattern, Region, own_words};
use crate::kernels::{Expr, Fused, Instr, Operand};
use crate::shape::View;

fn push_access(params: &mut Vec<u32>, access: &Access, view: &View, strides: &[isize]) {
    params.push(view.offset as u32);
    if access.pattern == Pattern::Strided {
        // Negative strides wrap around, as the shader's sums do.
        params.extend(strides.iter().map(|&s| s as u32));
    }
}

fn push_own(params: &mut Vec<u32>, instr: &Instr, shape: &[usize]) {
    match *instr {
        Instr::Iota { axis } => {
            let axis = usize::from(axis);
            params.push(shape[axis + 1..].iter().product::<usize>() as u32);
            params.push(shape[axis] as u32);
        }
        Instr::Gather { rows, stride, .. } => params.extend([rows - 1, stride as u32]),
        Instr::Fill { bits, .. } if own_words(instr) == 1 => params.push(bits),
        _ => {}
    }
}

/// An expression to be put in a region, with what it reads and writes.
#[derive(Debug, Clone)]
pub struct Piece<'a> {
    /// Where it goes.
    pub region: Region,
    /// Sizes of the (kept) axes.
    pub outer: &'a [usize],
    /// Sizes of the reduced axes.
    pub inner: &'a [usize],
    /// What to compute.
    pub expr: &'a Expr,
    /// Its loads, through views of `outer ++ inner`; `None` is the kernel's own result.
    pub loads: Vec<Option<&'a Operand>>,
    /// What it writes.
    pub outputs: Vec<&'a Operand>,
    /// The axes in which the kernel knows where it is, and which component of its coordinates each is; outermost first.
    pub natural: &'a [(usize, u8)],
    /// Whether to compute four neighbouring points at a time, if the operands are such.
    pub quads: bool,
    /// See [`Stores::held`](super::Stores::held).
    pub held: bool,
    /// Words of the uniform that are the kernel's own.
    pub own: &'a [u32],
}

impl<'a> Piece<'a> {
    /// An epilogue as part of a shader.
    pub fn epilogue(fused: &'a Fused, region: Region, inputs: &'a [Operand], outputs: &'a [Operand]) -> Self {
        Piece {
            region,
            outer: &fused.space.shape,
            inner: &[],
            expr: &fused.expr,
            loads: std::iter::once(None).chain(inputs.iter().map(Some)).collect(),
            outputs: outputs.iter().collect(),
            natural: &[],
            quads: false,
            held: false,
            own: &[],
        }
    }

    /// A prologue as part of a shader: a function of that name.
    pub fn prologue(fused: &'a Fused, name: &'static str, inputs: &'a [Operand]) -> Self {
        Piece {
            region: Region::Operand(name),
            outer: &fused.space.shape,
            inner: &[],
            expr: &fused.expr,
            loads: inputs.iter().map(Some).collect(),
            outputs: Vec::new(),
            natural: &[],
            quads: false,
            held: false,
            own: &[],
        }
    }
}

impl Piece<'_> {
    /// Its axes merged. If the kernel's own coordinates are those of the merged axes, which component each is.
    fn merge(&self, operands: &[&Operand]) -> (Vec<usize>, Vec<Vec<isize>>, Vec<u8>) {
        let split = self.outer.len();
        let strides: Vec<&[isize]> = operands.iter().map(|o| &o.view.strides[..split]).collect();
        let natural: Vec<(usize, u8)> = self.natural.iter().copied().filter(|&(size, _)| size != 1).collect();
        if !natural.is_empty() {
            let breaks: Vec<usize> =
                (1..natural.len()).map(|k| natural[k..].iter().map(|&(size, _)| size).product()).collect();
            let (sizes, strides) = merge(self.outer, &strides, &breaks);
            if sizes.iter().copied().eq(natural.iter().map(|&(size, _)| size)) {
                return (sizes, strides, natural.iter().map(|&(_, component)| component).collect());
            }
        }
        let (sizes, strides) = merge(self.outer, &strides, &[]);
        (sizes, strides, Vec::new())
    }

    /// The part and its words of the uniform.
    pub(super) fn part(&self, binding: impl Fn(&Operand) -> u8) -> (Part, Vec<u32>) {
        let operands: Vec<&Operand> =
            self.loads.iter().flatten().copied().chain(self.outputs.iter().copied()).collect();
        let split = self.outer.len();
        let (outer_sizes, outer_strides, natural) = self.merge(&operands);
        let inner: Vec<&[isize]> = operands.iter().map(|o| &o.view.strides[split..]).collect();
        let (inner_sizes, inner_strides) = merge(self.inner, &inner, &[]);
        let sizes = [outer_sizes.as_slice(), &inner_sizes].concat();
        let strides: Vec<Vec<isize>> =
            outer_strides.into_iter().zip(inner_strides).map(|(outer, inner)| [outer, inner].concat()).collect();
        let patterns: Vec<Pattern> = strides.iter().map(|strides| pattern(&sizes, strides)).collect();
        let quads: Vec<Option<bool>> =
            (0..operands.len()).map(|k| quad(patterns[k], &sizes, &strides[k], operands[k].view.offset)).collect();
        let points = self.outer.iter().product::<usize>();
        let written = &quads[operands.len() - self.outputs.len()..];
        let wide = self.quads
            && points.is_multiple_of(4)
            && quads.iter().all(Option::is_some)
            && written.iter().all(|quad| *quad == Some(true));
        let threads = if wide && self.region == Region::Elementwise { points / 4 } else { points };
        let mut words = vec![threads as u32, self.inner.iter().product::<usize>() as u32];
        words.extend(self.own);
        words.extend(sizes.iter().map(|&n| n as u32));
        // Floats that only a row's coordinate, component 1, tells apart.
        let row = natural.iter().position(|&component| component == 1);
        let mut held_so_far = 0;
        let mut held = |k: usize| {
            let only_row = |(axis, &stride): (usize, &isize)| (stride != 0) == (Some(axis) == row);
            let fits = self.held
                && k < operands.len() - self.outputs.len()
                && patterns[k] == Pattern::Strided
                && operands[k].dtype.is_float()
                && strides[k].iter().enumerate().all(only_row)
                && held_so_far < 4;
            held_so_far += u8::from(fits);
            fits.then(|| held_so_far - 1)
        };
        let mut accesses = operands.iter().enumerate().map(|(k, operand)| {
            let access = Access {
                binding: binding(operand),
                pattern: patterns[k],
                vector: wide && quads[k] == Some(true),
                held: held(k),
            };
            push_access(&mut words, &access, &operand.view, &strides[k]);
            access
        });
        let result = Access { binding: 0, pattern: Pattern::Result, vector: wide, held: None };
        let loads = self.loads.iter().map(|load| if load.is_some() { accesses.next() } else { Some(result) });
        let loads = loads.map(|access| access.unwrap_or(result)).collect();
        let outputs = accesses.collect();
        let shape = [self.outer, self.inner].concat();
        for instr in &self.expr.instrs {
            push_own(&mut words, instr, &shape);
        }
        let part = Part {
            region: self.region,
            expr: without_sizes(self.expr),
            loads,
            outputs,
            outer_rank: outer_sizes.len() as u8,
            inner_rank: inner_sizes.len() as u8,
            natural,
            wide,
            held: self.held,
            own: self.own.len() as u8,
        };
        (part, words)
    }
}

/// Marks the buffers that parts see as vectors.
pub(super) fn mark_vectors(buffers: &mut [Buffer], parts: &[Part]) {
    for part in parts {
        for access in part.loads.iter().chain(&part.outputs) {
            if access.vector && access.pattern != Pattern::Result {
                buffers[usize::from(access.binding)].vector = true;
            }
        }
    }
}

/// The expression without what goes to the uniform, so that other sizes share its text.
fn without_sizes(expr: &Expr) -> Expr {
    let mut expr = expr.clone();
    for instr in &mut expr.instrs {
        if let Instr::Gather { rows, stride, .. } = instr {
            (*rows, *stride) = (0, 0);
        }
    }
    expr
}
