//! From an elementwise or reduction launch to its dispatch: axes merged, access patterns found, parameters laid out.

use super::{Access, Pattern, Pointwise, Reduction, own_words};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::elementwise::ElementwiseKernel;
use crate::ops::reduce::{ReduceKernel, ReduceKind};
use crate::plan::{Binding, BufferId, Dispatch, GpuTarget, Instr, Launch, Operand, Shader, ShaderSource};
use crate::shape::View;

/// The storage bindings of a launch: one for each distinct buffer, in the order they are met.
fn bind(launch: &Launch) -> (Vec<Binding>, Vec<(DType, bool)>) {
    let mut bindings: Vec<Binding> = Vec::new();
    let mut buffers = Vec::new();
    let operands = launch.inputs.iter().map(|o| (o, false)).chain(launch.outputs.iter().map(|o| (o, true)));
    for (operand, written) in operands {
        match bindings.iter().position(|b| b.buffer == operand.buffer) {
            Some(k) => {
                bindings[k].written |= written;
                buffers[k] = (operand.dtype, bindings[k].written);
            }
            None => {
                bindings.push(Binding { buffer: operand.buffer, written });
                buffers.push((operand.dtype, written));
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

/// Merges neighbouring axes wherever every view's elements stay evenly spaced, and drops axes of size 1. The strides
/// are those of each view, by axis.
fn merge(sizes: &[usize], strides: &[&[isize]]) -> (Vec<usize>, Vec<Vec<isize>>) {
    let mut merged: Vec<usize> = Vec::new();
    let mut out: Vec<Vec<isize>> = vec![Vec::new(); strides.len()];
    for (axis, &size) in sizes.iter().enumerate().filter(|&(_, &size)| size != 1) {
        let fits = |(done, view): (&Vec<isize>, &&[isize])| done.last() == Some(&(view[axis] * size as isize));
        if !merged.is_empty() && out.iter().zip(strides).all(fits) {
            if let Some(last) = merged.last_mut() {
                *last *= size;
            }
            for (done, view) in out.iter_mut().zip(strides) {
                done.pop();
                done.push(view[axis]);
            }
        } else {
            merged.push(size);
            for (done, view) in out.iter_mut().zip(strides) {
                done.push(view[axis]);
            }
        }
    }
    (merged, out)
}

fn pattern(sizes: &[usize], strides: &[isize]) -> Pattern {
    if strides.iter().all(|&s| s == 0) {
        return Pattern::Fixed;
    }
    let mut expected = 1;
    let dense = sizes.iter().zip(strides).rev().all(|(&size, &stride)| {
        let fits = stride == expected;
        expected *= size as isize;
        fits
    });
    if dense { Pattern::Linear } else { Pattern::Strided }
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

/// The dispatch of an elementwise launch.
pub fn elementwise(kernel: &ElementwiseKernel, launch: &Launch, target: &GpuTarget) -> Result<Dispatch> {
    let (bindings, buffers) = bind(launch);
    let operands: Vec<&Operand> = launch.inputs.iter().chain(&launch.outputs).collect();
    let strides: Vec<&[isize]> = operands.iter().map(|o| o.view.strides.as_slice()).collect();
    let (sizes, strides) = merge(&kernel.shape, &strides);
    let access = |(operand, strides): (&&Operand, &Vec<isize>)| Access {
        binding: binding_of(&bindings, operand.buffer),
        pattern: pattern(&sizes, strides),
    };
    let mut loads: Vec<Access> = operands.iter().zip(&strides).map(access).collect();
    let outputs = loads.split_off(launch.inputs.len());
    let point = Pointwise {
        expr: kernel.expr.clone(),
        buffers,
        loads,
        outputs,
        outer_rank: sizes.len() as u8,
        inner_rank: 0,
        reduction: None,
    };
    let points = kernel.shape.elements();
    let mut params = vec![points as u32, 1];
    params.extend(sizes.iter().map(|&n| n as u32));
    for ((access, operand), strides) in point.loads.iter().chain(&point.outputs).zip(&operands).zip(&strides) {
        push_access(&mut params, access, &operand.view, strides);
    }
    for instr in &kernel.expr.instrs {
        push_own(&mut params, instr, &kernel.shape);
    }
    let workgroup = workgroup_size(points, target);
    finish(point, params, bindings, (points as u64).div_ceil(u64::from(workgroup)), |source| {
        Shader::new(ShaderSource::Elementwise(source)).constant("WORKGROUP", workgroup)
    })
}

/// The dispatch of a reduction.
pub fn reduce(kernel: &ReduceKernel, launch: &Launch, target: &GpuTarget) -> Result<Dispatch> {
    let (bindings, buffers) = bind(launch);
    let split = kernel.outer.rank();
    let part = |range: std::ops::Range<usize>| -> Vec<&[isize]> {
        launch.inputs.iter().map(|o| &o.view.strides[range.clone()]).collect()
    };
    let (outer_sizes, outer_strides) = merge(&kernel.outer, &part(0..split));
    let (inner_sizes, inner_strides) = merge(&kernel.inner, &part(split..split + kernel.inner.rank()));
    let strides: Vec<Vec<isize>> =
        outer_strides.into_iter().zip(inner_strides).map(|(outer, inner)| [outer, inner].concat()).collect();
    let sizes = [outer_sizes.as_slice(), &inner_sizes].concat();
    let loads = launch.inputs.iter().zip(&strides).map(|(operand, strides)| Access {
        binding: binding_of(&bindings, operand.buffer),
        pattern: pattern(&sizes, strides),
    });
    let output = &launch.outputs[0];
    let point = Pointwise {
        expr: kernel.expr.clone(),
        loads: loads.collect(),
        outputs: vec![Access { binding: binding_of(&bindings, output.buffer), pattern: Pattern::Linear }],
        buffers,
        outer_rank: outer_sizes.len() as u8,
        inner_rank: inner_sizes.len() as u8,
        reduction: Some(Reduction { kind: kernel.kind }),
    };
    let (outer, inner) = (kernel.outer.elements(), kernel.inner.elements());
    let mut params = vec![outer as u32, inner as u32];
    params.extend(sizes.iter().map(|&n| n as u32));
    for ((access, operand), strides) in point.loads.iter().zip(&launch.inputs).zip(&strides) {
        push_access(&mut params, access, &operand.view, strides);
    }
    params.push(output.view.offset as u32);
    let shape = [&kernel.outer[..], &kernel.inner[..]].concat();
    for instr in &kernel.expr.instrs {
        push_own(&mut params, instr, &shape);
    }
    let lanes = share(outer, inner, target);
    // Where neighbouring outputs, not neighbouring terms, are neighbours in memory, neighbouring threads take those.
    let spread = strides.first().is_some_and(|s| {
        let (last_outer, last_inner) = (outer_sizes.len().checked_sub(1).map(|k| s[k]), s.last());
        !inner_sizes.is_empty() && last_outer.is_some_and(|s| s.abs() == 1) && last_inner.is_some_and(|s| s.abs() > 1)
    });
    let kind = match kernel.kind {
        ReduceKind::Sum => 0,
        ReduceKind::Mean => 1,
        ReduceKind::Max => 2,
        ReduceKind::Min => 3,
        ReduceKind::ArgMax => 4,
        ReduceKind::ArgMin => 5,
    };
    finish(point, params, bindings, lanes.workgroups, |source| {
        Shader::new(ShaderSource::Reduce(source))
            .constant("WORKGROUP", lanes.workgroup)
            .constant("LANES", lanes.lanes)
            .constant("SPREAD", u32::from(spread))
            .constant("KIND", kind)
            .constant("LONG", u32::from(inner / lanes.lanes as usize > 4096))
            .alias("T", kernel.dtype)
    })
}

fn finish(
    point: Pointwise,
    params: Vec<u32>,
    bindings: Vec<Binding>,
    workgroups: u64,
    shader: impl FnOnce(Pointwise) -> Shader,
) -> Result<Dispatch> {
    if params.len() != point.layout().words {
        return Err(Error::Internal(format!("{} parameter words for {point:?}", params.len())));
    }
    let uses_run = point.uses_run();
    Ok(Dispatch { shader: shader(point), params, bindings, workgroups, uses_run })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Shape;

    #[test]
    fn axes_merge_where_all_views_allow_it() {
        let dense = View::dense([2, 3, 4]);
        let (sizes, strides) = merge(&dense.shape, &[&dense.strides]);
        assert_eq!((sizes, strides), (vec![24], vec![vec![1]]));
        let bias = View::dense([4]).broadcast(&Shape::from([2, 3, 4]));
        let (sizes, strides) = merge(&dense.shape, &[&dense.strides, &bias.strides]);
        assert_eq!((sizes, strides), (vec![6, 4], vec![vec![4, 1], vec![0, 1]]));
        assert_eq!(merge(&[1, 1], &[&[7, 9]]), (vec![], vec![vec![]]));
    }
}
