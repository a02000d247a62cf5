//! Dispatches with generated parts: bindings and parameters laid out, expressions put in a shader's regions.

use super::piece::{Piece, mark_vectors};
use super::{Buffer, Generated, Region};
use crate::dtype::DType;
use crate::kernels::{BufferId, Fused, Operand};
use crate::wgsl::{Binding, Dispatch, Operands, Shader, Work, work};

/// The storage bindings of a launch: one for each distinct buffer, in the order they are met.
fn bind(all: Operands<'_>) -> (Vec<Binding>, Vec<Buffer>) {
    let mut bindings: Vec<Binding> = Vec::new();
    let mut buffers: Vec<Buffer> = Vec::new();
    let operands = all.inputs.iter().map(|o| (o, false)).chain(all.outputs.iter().map(|o| (o, true)));
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

/// The dispatch of a launch whose shader is generated from `pieces`, the first of which says how many points there are.
pub fn generate(
    operands: Operands<'_>,
    pieces: &[Piece<'_>],
    shader: impl FnOnce(Generated) -> (Shader, u64, Work),
) -> Dispatch {
    let (bindings, mut buffers) = bind(operands);
    let (mut parts, mut params) = (Vec::new(), Vec::new());
    for piece in pieces {
        let (part, words) = piece.part(|operand| binding_of(&bindings, operand.buffer));
        parts.push(part);
        params.extend(words);
    }
    mark_vectors(&mut buffers, &parts);
    let generated = Generated { buffers, named: Vec::new(), parts };
    let uses_run = generated.uses_run();
    let (shader, workgroups, work) = shader(generated);
    let work = Work { bytes: work::bytes(operands.inputs.iter().chain(operands.outputs)), ..work };
    Dispatch { shader, params, bindings, workgroups, uses_run, declared: Vec::new(), work }
}

/// Puts `pieces` in the regions of a shader whose own text declares the storage buffers `named`, those of `dispatch`,
/// and the uniform `p`, which ends in `extra: array<vec4<u32>, EXTRA>`. What the pieces write first is the buffer
/// that the shader writes itself.
pub fn fuse(mut dispatch: Dispatch, named: &[&'static str], operands: Operands<'_>, pieces: &[Piece<'_>]) -> Dispatch {
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
    let own_buffers: Vec<BufferId> = dispatch.bindings[..own].iter().map(|binding| binding.buffer).collect();
    for piece in pieces {
        let written = piece.outputs.iter().filter(|operand| !own_buffers.contains(&operand.buffer));
        dispatch.work.bytes += work::bytes(piece.loads.iter().flatten().chain(written).copied());
        let instructions = (piece.outer.iter().product::<usize>() * work::instructions(piece.expr)) as u64;
        dispatch.work.needed += instructions;
        let threads = u64::from(dispatch.work.threads) * dispatch.workgroups;
        dispatch.work.instructions += instructions.div_ceil(threads.max(1));
    }
    let bindings = &dispatch.bindings;
    let dtype = |buffer: BufferId| {
        let found = operands.inputs.iter().chain(operands.outputs).find(|o| o.buffer == buffer);
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
    /// For a shader whose result has the element type `C`, and which can store four elements at a time, in aligned
    /// places: its dtype.
    pub quads: Option<DType>,
    /// Whether the shader asks `hold` once for what a row (component 1 of the coordinates) has in common, and hands
    /// it to `store`.
    pub held: bool,
}

/// Puts an epilogue, if there is one, in the region `store` of a shader; its loads are the launch's inputs from
/// `first` on.
pub fn store(
    mut dispatch: Dispatch,
    named: &[&'static str],
    operands: Operands<'_>,
    first: usize,
    epilogue: Option<&Fused>,
    stores: Stores<'_>,
) -> Dispatch {
    let plain = stores.quads.map(|dtype| Fused::result(&operands.outputs[0].view.shape, dtype));
    let Some(fused) = epilogue.or(plain.as_ref()) else {
        // The uniform is as long as the shader's declaration.
        dispatch.params.resize(dispatch.params.len().next_multiple_of(4) + 4, 0);
        dispatch.shader.named = named.to_vec();
        return dispatch;
    };
    let aligned = stores.axes.last().is_some_and(|&(size, _)| size.is_multiple_of(4));
    // Row sums are not the piece's.
    let outputs = if epilogue.is_some() { operands.outputs } else { &operands.outputs[..1] };
    let piece = Piece {
        natural: stores.axes,
        quads: aligned && stores.quads.is_some(),
        held: stores.held,
        ..Piece::epilogue(fused, Region::Store, &operands.inputs[first..], outputs)
    };
    let mut dispatch = fuse(dispatch, named, operands, &[piece]);
    if let Some(dtype) = stores.quads {
        let wide = dispatch.shader.generated.as_ref().is_some_and(|g| g.parts.iter().any(|part| part.wide));
        let shader = dispatch.shader.constant("C_VECTOR", wide.into());
        dispatch.shader = if wide { shader.vector("C", dtype) } else { shader.alias("C", dtype) };
    }
    dispatch
}
