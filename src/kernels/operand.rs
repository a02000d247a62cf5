//! Operands: strided views of numbered buffers.

use crate::dtype::DType;
use crate::shape::View;

/// The index of a buffer in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u32);

impl BufferId {
    /// The index as a `usize`.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A view of the elements of a buffer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Operand {
    /// The buffer.
    pub buffer: BufferId,
    /// The element type.
    pub dtype: DType,
    /// Shape, strides and offset.
    pub view: View,
}

impl Operand {
    /// Whether it may share an element with another operand.
    pub fn overlaps(&self, other: &Operand) -> bool {
        let (a, b) = (self.view.range(), other.view.range());
        self.buffer == other.buffer && a.start < b.end && b.start < a.end
    }
    /// The size of its elements in bytes; a broadcast element counts once.
    pub fn bytes(&self) -> u64 {
        let axes = self.view.shape.iter().zip(&self.view.strides);
        let elements: usize = axes.map(|(&size, &stride)| if stride == 0 { size.min(1) } else { size }).product();
        (elements * self.dtype.size()) as u64
    }
}

/// The buffers of some operands, sorted and without duplicates.
pub fn distinct_buffers<'a>(operands: impl IntoIterator<Item = &'a Operand>) -> Vec<BufferId> {
    let mut buffers: Vec<BufferId> = operands.into_iter().map(|o| o.buffer).collect();
    buffers.sort_unstable();
    buffers.dedup();
    buffers
}
