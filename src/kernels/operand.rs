//! Operands: elements of numbered buffers, seen through views.

use crate::dtype::DType;
use crate::shape::View;

/// A buffer's position in a plan's list of buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u32);

impl BufferId {
    /// As an index into the plan's buffers.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Elements of a buffer seen through a view.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Operand {
    /// The buffer.
    pub buffer: BufferId,
    /// Its element type.
    pub dtype: DType,
    /// Which elements, in which order.
    pub view: View,
}

impl Operand {
    /// Whether it may have an element in common with another.
    pub fn overlaps(&self, other: &Operand) -> bool {
        let (a, b) = (self.view.range(), other.view.range());
        self.buffer == other.buffer && a.start < b.end && b.start < a.end
    }
    /// Bytes of the elements it shows; what a broadcast shows many times counts once.
    pub fn bytes(&self) -> u64 {
        let axes = self.view.shape.iter().zip(&self.view.strides);
        let elements: usize = axes.map(|(&size, &stride)| if stride == 0 { size.min(1) } else { size }).product();
        (elements * self.dtype.size()) as u64
    }
}

/// The buffers of some operands, each once, in order.
pub fn distinct_buffers<'a>(operands: impl IntoIterator<Item = &'a Operand>) -> Vec<BufferId> {
    let mut buffers: Vec<BufferId> = operands.into_iter().map(|o| o.buffer).collect();
    buffers.sort_unstable();
    buffers.dedup();
    buffers
}
