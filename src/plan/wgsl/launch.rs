//! From an elementwise or reduction launch to its dispatch: bindings, parts and parameters laid out.

use super::axes::{merge, pattern, quad};
use super::{Access, Buffer, Generated, Part, Pattern, Region, own_words};
use crate::dtype::DType;
use crate::error::Result;
use crate::ops::elementwise::ElementwiseKernel;
use crate::ops::reduce::{ReduceKernel, ReduceKind};
use crate::plan::shader::{ELEMENTWISE, REDUCE};
use crate::plan::{Binding, BufferId, Dispatch, Expr, Fused, GpuTarget, Instr, Launch, Operand, Shader};
use crate::shape::View;

/// The storage bindings of a launch: one for each distinct buffer, in the order they are met.
fn bind(launch: &Launch) -> (Vec<Binding>, Vec<Buffer>) {
    let mut bindings: Vec<Binding> = Vec::new();
    let mut buffers: Vec<Buffer> = Vec::new();
    let operands = launch.inputs.iter().map(|o| (o, false)).chain(launch.outputs.iter().map(|o| (o, true)));
    for (operand, written) in operands {
        match bindings.iter().position(|b| b.buffer == operand.buffer) {
            Some(k) => {
                bindings[k].written |= written;
                buffers[k] = Buffer { dtype: operand.dtype, written: bindings[k].written, vector: false };
            }
            None => {
                bindings.push(Binding { buffer: operand.buffer, written, window: None });
                buffers.push(Buffer { dtype: operand.dtype, written, vector: false });
            }
        }
    }
    (bindings, buffers)
}

fn binding_of(bindings: &[Binding], buffer: BufferId) -> u8 {
    match bindings.iter().position(|b| b.buffer == buffer) {
        Some(k) => k as u8,
        None => unreachable!("every operand's buffer is bound"),
    }
}

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

/// Threads a workgroup for `points` independent ones: small workgroups spread small launches over the device.
pub fn workgroup_size(points: usize, target: &GpuTarget) -> u32 {
    let wanted = if points >= 1 << 16 { 256 } else { 64 };
    wanted.min(target.max_invocations)
}

/// How a shader in which threads share an output is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lanes {
    /// Threads a workgroup.
    pub workgroup: u32,
    /// Threads an output.
    pub lanes: u32,
    /// Workgroups in all.
    pub workgroups: u64,
}

/// How many threads share an output that joins `terms` values, for `outputs` of them.
pub fn share(outputs: usize, terms: usize, target: &GpuTarget) -> Lanes {
    let workgroup = 256.min(1 << target.max_invocations.ilog2());
    // A thread wants some terms of its own, fewer where there would be too few threads to fill a device otherwise.
    let wanted = if outputs >= 1 << 14 { terms / 32 } else { terms / 4 };
    let lanes = (wanted.max(1) as u32).next_power_of_two().min(workgroup);
    // Few outputs: no more slots in a workgroup than there are outputs.
    let workgroup = workgroup.min((lanes as usize * outputs.next_power_of_two()).max(32) as u32).max(lanes);
    Lanes { workgroup, lanes, workgroups: (outputs as u64).div_ceil(u64::from(workgroup / lanes)) }
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
    /// See [`Stores::held`].
    pub held: bool,
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
    fn part(&self, binding: impl Fn(&Operand) -> u8) -> (Part, Vec<u32>) {
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
        // Four draws at once would be much code.
        let draws = |instr: &Instr| matches!(instr, Instr::Random { .. });
        let wide = self.quads
            && points.is_multiple_of(4)
            && quads.iter().all(Option::is_some)
            && written.iter().all(|quad| *quad == Some(true))
            && !self.expr.instrs.iter().any(draws);
        let threads = if wide && self.region == Region::Elementwise { points / 4 } else { points };
        let mut words = vec![threads as u32, self.inner.iter().product::<usize>() as u32];
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
        };
        (part, words)
    }
}

/// Marks the buffers that parts see as vectors.
fn mark_vectors(buffers: &mut [Buffer], parts: &[Part]) {
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

/// The dispatch of a launch whose shader is generated from `pieces`, the first of which says how many points there are.
fn generate(launch: &Launch, pieces: &[Piece<'_>], shader: impl FnOnce(Generated) -> (Shader, u64)) -> Dispatch {
    let (bindings, mut buffers) = bind(launch);
    let (mut parts, mut params) = (Vec::new(), Vec::new());
    for piece in pieces {
        let (part, words) = piece.part(|operand| binding_of(&bindings, operand.buffer));
        parts.push(part);
        params.extend(words);
    }
    mark_vectors(&mut buffers, &parts);
    let generated = Generated { buffers, named: Vec::new(), parts };
    let uses_run = generated.uses_run();
    let (shader, workgroups) = shader(generated);
    Dispatch { shader, params, bindings, workgroups, uses_run, declared: Vec::new() }
}

/// Puts `pieces` in the regions of a shader whose own text declares the storage buffers `named`, those of `dispatch`, and
/// the uniform `p`, which ends in `extra: array<vec4<u32>, EXTRA>`. What the pieces write first is the buffer that the
/// shader writes itself.
pub fn fuse(mut dispatch: Dispatch, named: &[&'static str], launch: &Launch, pieces: &[Piece<'_>]) -> Dispatch {
    let own = dispatch.bindings.len();
    debug_assert_eq!(own, named.len());
    let result = dispatch.bindings.iter().position(|b| b.written).unwrap_or(own - 1);
    let mut bind = |operand: &Operand, written: bool| {
        let extras = &dispatch.bindings[own..];
        if written && operand.buffer == dispatch.bindings[result].buffer {
            return;
        }
        match extras.iter().position(|b| b.buffer == operand.buffer) {
            Some(k) => dispatch.bindings[own + k].written |= written,
            None => dispatch.bindings.push(Binding { buffer: operand.buffer, written, window: None }),
        }
    };
    for piece in pieces {
        piece.loads.iter().flatten().for_each(|operand| bind(operand, false));
        piece.outputs.iter().for_each(|operand| bind(operand, true));
    }
    let bindings = &dispatch.bindings;
    let dtype = |buffer: BufferId| {
        let found = launch.inputs.iter().chain(&launch.outputs).find(|o| o.buffer == buffer);
        found.map_or(DType::F32, |o| o.dtype)
    };
    let buffer = |b: &Binding| Buffer { dtype: dtype(b.buffer), written: b.written, vector: false };
    let mut buffers: Vec<Buffer> = bindings.iter().map(buffer).collect();
    let (mut parts, mut words) = (Vec::new(), Vec::new());
    for piece in pieces {
        let (part, more) =
            piece.part(|operand| match bindings[own..].iter().position(|b| b.buffer == operand.buffer) {
                Some(k) => (own + k) as u8,
                None => result as u8,
            });
        parts.push(part);
        words.extend(more);
    }
    mark_vectors(&mut buffers, &parts);
    let generated = Generated { buffers, named: named.to_vec(), parts };
    dispatch.uses_run |= generated.uses_run();
    dispatch.params.resize(dispatch.params.len().next_multiple_of(4), 0);
    let extra = words.len().div_ceil(4);
    words.resize(4 * extra, 0);
    dispatch.params.extend(words);
    dispatch.shader = dispatch.shader.constant("EXTRA", extra as u32).generated(generated);
    dispatch
}

/// How a kernel stores its result.
#[derive(Debug, Clone, Copy)]
pub struct Stores<'a> {
    /// The result's axes, outermost first: their sizes and which component of the coordinates given to `store` each is.
    pub axes: &'a [(usize, u8)],
    /// For a shader whose result has the element type `C`, and which can store four elements at a time, in aligned places: its
    /// dtype.
    pub quads: Option<DType>,
    /// Whether the shader asks `hold` once for what a row (component 1 of the coordinates) has in common, and hands it to `store`.
    pub held: bool,
}

/// Puts an epilogue, if there is one, in the region `store` of a shader; its loads are the launch's inputs from `first` on.
pub fn store(
    mut dispatch: Dispatch,
    named: &[&'static str],
    launch: &Launch,
    first: usize,
    epilogue: Option<&Fused>,
    stores: Stores<'_>,
) -> Dispatch {
    let plain = stores.quads.map(|dtype| Fused::result(&launch.outputs[0].view.shape, dtype));
    let Some(fused) = epilogue.or(plain.as_ref()) else {
        // The uniform is as long as the shader's declaration.
        dispatch.params.resize(dispatch.params.len().next_multiple_of(4) + 4, 0);
        dispatch.shader.named = named.to_vec();
        return dispatch;
    };
    let aligned = stores.axes.last().is_some_and(|&(size, _)| size.is_multiple_of(4));
    // Row sums are not the piece's.
    let outputs = if epilogue.is_some() { &launch.outputs } else { &launch.outputs[..1] };
    let piece = Piece {
        natural: stores.axes,
        quads: aligned && stores.quads.is_some(),
        held: stores.held,
        ..fused.store(Region::Store, &launch.inputs[first..], outputs)
    };
    let mut dispatch = fuse(dispatch, named, launch, &[piece]);
    if let Some(dtype) = stores.quads {
        let wide = dispatch.shader.generated.as_ref().is_some_and(|g| g.parts.iter().any(|part| part.wide));
        let shader = dispatch.shader.constant("C_VECTOR", wide.into());
        dispatch.shader = if wide { shader.vector("C", dtype) } else { shader.alias("C", dtype) };
    }
    dispatch
}

/// The dispatch of an elementwise launch.
pub fn elementwise(kernel: &ElementwiseKernel, launch: &Launch, target: &GpuTarget) -> Result<Dispatch> {
    let points = kernel.shape.elements();
    let piece = Piece {
        region: Region::Elementwise,
        outer: &kernel.shape,
        inner: &[],
        expr: &kernel.expr,
        loads: launch.inputs.iter().map(Some).collect(),
        outputs: launch.outputs.iter().collect(),
        natural: &[],
        // Where there are few points, a GPU rather has more threads.
        quads: target.software || points >= 1 << 16,
        held: false,
    };
    Ok(generate(launch, &[piece], |generated| {
        let threads = if generated.parts[0].wide { points / 4 } else { points };
        let workgroup = workgroup_size(threads, target);
        let shader = Shader::file("elementwise", ELEMENTWISE).constant("WORKGROUP", workgroup).generated(generated);
        (shader, (threads as u64).div_ceil(u64::from(workgroup)))
    }))
}

/// The dispatch of a reduction.
pub fn reduce(kernel: &ReduceKernel, launch: &Launch, target: &GpuTarget) -> Result<Dispatch> {
    let (outer, inner) = (kernel.outer.elements(), kernel.inner.elements());
    let lanes = share(outer, inner, target);
    let (loads, more) = kernel.inputs(launch);
    let value = Piece {
        region: Region::Value,
        outer: &kernel.outer,
        inner: &kernel.inner,
        expr: &kernel.expr,
        loads: loads.iter().map(Some).collect(),
        outputs: Vec::new(),
        natural: &[],
        quads: false,
        held: false,
    };
    let plain = Fused::result(&launch.outputs[0].view.shape, kernel.dtype);
    let store = kernel.epilogue.as_ref().unwrap_or(&plain).store(Region::Reduced(kernel.kind), more, &launch.outputs);
    // Where neighbouring outputs, not neighbouring terms, are neighbours in memory, neighbouring threads take those.
    let spread = loads.first().is_some_and(|operand| {
        let split = kernel.outer.rank();
        let last = |range: std::ops::Range<usize>| {
            range.rev().find(|&k| operand.view.shape[k] != 1).map(|k| operand.view.strides[k].abs())
        };
        let (kept, reduced) = (last(0..split), last(split..operand.view.shape.rank()));
        kept == Some(1) && reduced.is_some_and(|stride| stride > 1)
    });
    let kind = match kernel.kind {
        ReduceKind::Sum => 0,
        ReduceKind::Mean => 1,
        ReduceKind::Max => 2,
        ReduceKind::Min => 3,
        ReduceKind::ArgMax => 4,
        ReduceKind::ArgMin => 5,
    };
    Ok(generate(launch, &[value, store], |generated| {
        let shader = Shader::file("reduce", REDUCE)
            .constant("WORKGROUP", lanes.workgroup)
            .constant("LANES", lanes.lanes)
            .constant("SPREAD", u32::from(spread))
            .constant("KIND", kind)
            .constant("LONG", u32::from(inner / lanes.lanes as usize > 4096))
            .alias("T", kernel.dtype)
            .generated(generated);
        (shader, lanes.workgroups)
    }))
}
