//! Channels-last values between convolutions.
//!
//! A convolution on the CPU has channels as the lanes of its vectors. Values `[batch, channels, positions]` that only
//! convolutions and their epilogues read and write are therefore stored `[batch, positions, channels]`, the channels
//! padded with zeros to whole vectors, and nothing is moved between lines and lanes. Every operand of such a value gets the
//! strides of that order, so what a launch does is still told by its operands alone.

use super::{Backend, BufferKind, Plan};
use crate::dtype::DType;
use crate::kernels::{Launch, Operand};
use crate::shape::{TensorType, View};

/// Changes the order of those values for which every launch that touches them agrees. Each value still has a buffer of
/// its own.
pub(super) fn rewrite(plan: &mut Plan, backend: &dyn Backend) {
    let Some(lanes) = backend.channel_lanes().filter(|&lanes| lanes > 1) else { return };
    let mut last: Vec<bool> = (0..plan.buffers.len()).map(|index| is_candidate(plan, index)).collect();
    // What one launch refuses, others get as it was written, which they may refuse in turn.
    loop {
        let refused = plan.launches.iter().find(|launch| {
            let lies: Vec<bool> = operands(launch).map(|operand| last[operand.buffer.index()]).collect();
            !backend.takes_channels_last(launch, &lies)
        });
        let Some(launch) = refused else { break };
        operands(launch).for_each(|operand| last[operand.buffer.index()] = false);
    }
    for launch in &mut plan.launches {
        for operand in launch.inputs.iter_mut().chain(&mut launch.outputs).filter(|o| last[o.buffer.index()]) {
            let channels = operand.view.shape[1].next_multiple_of(lanes);
            let positions = operand.view.shape[2];
            operand.view.strides = vec![(positions * channels) as isize, 1, channels as isize];
        }
    }
    for (buffer, _) in plan.buffers.iter_mut().zip(&last).filter(|(_, last)| **last) {
        let [batch, channels, positions] = [0, 1, 2].map(|axis| buffer.ty.shape[axis]);
        buffer.ty = TensorType::new([batch, positions, channels.next_multiple_of(lanes)], DType::F32);
    }
}

fn operands(launch: &Launch) -> impl Iterator<Item = &Operand> {
    launch.inputs.iter().chain(&launch.outputs)
}

/// Whether the buffer holds an intermediate value that one launch writes, and that all see whole and in one shape.
fn is_candidate(plan: &Plan, index: usize) -> bool {
    let buffer = &plan.buffers[index];
    let here = |operand: &&Operand| operand.buffer.index() == index;
    let whole = View::dense(buffer.ty.shape.clone());
    matches!(buffer.kind, BufferKind::Scratch)
        && buffer.ty.dtype == DType::F32
        && buffer.ty.shape.rank() == 3
        && buffer.ty.shape.elements() > 0
        && !plan.outputs.iter().any(|output| output.buffer.index() == index)
        && plan.launches.iter().flat_map(|launch| &launch.outputs).filter(here).count() == 1
        && plan.launches.iter().flat_map(operands).filter(here).all(|operand| operand.view == whole)
}
