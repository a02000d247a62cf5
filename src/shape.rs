//! Shapes, tensor types, axes and strided views.

use crate::dtype::DType;

/// The largest rank a tensor can have.
pub const MAX_RANK: usize = 6;

/// The largest number of elements a tensor can have: kernels compute indices in 32 bits.
pub const MAX_ELEMENTS: usize = i32::MAX as usize;

/// A tensor's shape: the size of each axis, outermost first (row-major).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// The shape of a scalar: rank 0.
    pub fn scalar() -> Self {
        Shape(Vec::new())
    }
    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }
    /// The number of elements (1 for a scalar). Saturates on overflow; [`Shape::check`] reports that.
    pub fn elements(&self) -> usize {
        self.0.iter().fold(1usize, |a, &b| a.saturating_mul(b))
    }
    /// An error for shapes beyond [`MAX_RANK`] or [`MAX_ELEMENTS`].
    pub fn check(&self) -> Result<(), String> {
        if self.rank() > MAX_RANK {
            return Err(format!("shape {self} has rank {}, and {MAX_RANK} is the largest supported", self.rank()));
        }
        // A size of 0 makes the product 0 whatever the other sizes are, so the product of the non-zero sizes is
        // checked.
        let product = self.0.iter().filter(|&&d| d != 0).try_fold(1usize, |a, &b| a.checked_mul(b));
        match product {
            Some(n) if n <= MAX_ELEMENTS => Ok(()),
            _ => Err(format!("shape {self} has more than {MAX_ELEMENTS} elements, the most a tensor can hold")),
        }
    }
    /// Row-major strides, in elements.
    pub fn strides(&self) -> Vec<isize> {
        let mut strides = vec![1isize; self.rank()];
        for axis in (0..self.rank().saturating_sub(1)).rev() {
            strides[axis] = strides[axis + 1].saturating_mul(self.0[axis + 1].max(1) as isize);
        }
        strides
    }
    /// The shape that two operands broadcast to by NumPy's rule: shapes are aligned at the right, sizes of 1 are
    /// stretched. `None` if they do not broadcast together.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.rank().max(other.rank());
        let at = |s: &Shape, i: usize| if i + s.rank() < rank { 1 } else { s.0[i + s.rank() - rank] };
        (0..rank)
            .map(|i| match (at(self, i), at(other, i)) {
                (a, b) if a == b => Some(a),
                (1, b) => Some(b),
                (a, 1) => Some(a),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
            .map(Shape)
    }
}

impl std::ops::Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl From<Vec<usize>> for Shape {
    fn from(v: Vec<usize>) -> Self {
        Shape(v)
    }
}
impl From<&[usize]> for Shape {
    fn from(v: &[usize]) -> Self {
        Shape(v.to_vec())
    }
}
impl<const N: usize> From<[usize; N]> for Shape {
    fn from(v: [usize; N]) -> Self {
        Shape(v.to_vec())
    }
}
impl From<usize> for Shape {
    fn from(n: usize) -> Self {
        Shape(vec![n])
    }
}
impl From<()> for Shape {
    fn from(_: ()) -> Self {
        Shape::scalar()
    }
}
impl From<&Shape> for Shape {
    fn from(s: &Shape) -> Self {
        s.clone()
    }
}

/// The shape and dtype of a tensor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct TensorType {
    /// The shape.
    pub shape: Shape,
    /// The element type.
    pub dtype: DType,
}

impl TensorType {
    /// The type of the given shape and dtype.
    pub fn new(shape: impl Into<Shape>, dtype: DType) -> Self {
        TensorType { shape: shape.into(), dtype }
    }
    /// The size in bytes of a dense array of this type.
    pub fn bytes(&self) -> usize {
        self.shape.elements().saturating_mul(self.dtype.size())
    }
}

impl std::fmt::Display for TensorType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

/// The axes that an operation applies to. Negative axes count from the end, as in NumPy; `..` means all axes.
///
/// ```
/// use wgrad::Axes;
/// let last: Axes = (-1).into();
/// let both: Axes = [0, 2].into();
/// let all: Axes = (..).into();
/// assert_eq!(last.resolve(3).unwrap(), vec![2]);
/// assert_eq!(both.resolve(3).unwrap(), vec![0, 2]);
/// assert_eq!(all.resolve(3).unwrap(), vec![0, 1, 2]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Axes {
    /// Every axis.
    All,
    /// The listed axes.
    List(Vec<isize>),
}

impl Axes {
    /// The axes, non-negative and sorted, or a message that says what is wrong with them.
    pub fn resolve(&self, rank: usize) -> Result<Vec<usize>, String> {
        let Axes::List(list) = self else { return Ok((0..rank).collect()) };
        let mut axes = list.iter().map(|&a| resolve_axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
        axes.sort_unstable();
        if axes.windows(2).any(|w| w[0] == w[1]) {
            return Err(format!("axes {list:?} name the same axis twice"));
        }
        Ok(axes)
    }
}

/// The non-negative form of an axis, which may count from the end.
pub(crate) fn resolve_axis(axis: isize, rank: usize) -> Result<usize, String> {
    let resolved = if axis < 0 { axis + rank as isize } else { axis };
    if resolved < 0 || resolved >= rank as isize {
        return Err(format!("axis {axis} is out of range for a tensor of rank {rank}"));
    }
    Ok(resolved as usize)
}

impl From<isize> for Axes {
    fn from(a: isize) -> Self {
        Axes::List(vec![a])
    }
}
impl<const N: usize> From<[isize; N]> for Axes {
    fn from(a: [isize; N]) -> Self {
        Axes::List(a.to_vec())
    }
}
impl From<&[isize]> for Axes {
    fn from(a: &[isize]) -> Self {
        Axes::List(a.to_vec())
    }
}
impl From<Vec<isize>> for Axes {
    fn from(a: Vec<isize>) -> Self {
        Axes::List(a)
    }
}
impl From<&[usize]> for Axes {
    fn from(a: &[usize]) -> Self {
        Axes::List(a.iter().map(|&x| x as isize).collect())
    }
}
impl From<std::ops::RangeFull> for Axes {
    fn from(_: std::ops::RangeFull) -> Self {
        Axes::All
    }
}

/// The layout of a tensor's elements in a buffer: element `[i0, i1, …]` is at `offset + Σ i_k · strides_k`.
///
/// Movement operations (reshape of a dense array, permute, broadcast, slice, flip) only change the view: they cost
/// nothing on any device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct View {
    /// The logical shape.
    pub shape: Shape,
    /// The distance, in elements, between neighbours along each axis; 0 for a broadcast axis, negative for a flipped
    /// one.
    pub strides: Vec<isize>,
    /// The position of the first element, in elements.
    pub offset: usize,
}

impl View {
    /// The dense row-major view of a whole buffer.
    pub fn dense(shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        View { strides: shape.strides(), shape, offset: 0 }
    }
    /// Whether the view is contiguous: elements in row-major order without gaps, at any offset.
    pub fn is_dense(&self) -> bool {
        let mut expected = 1isize;
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if size != 1 && stride != expected {
                return self.shape.elements() == 0;
            }
            expected *= size as isize;
        }
        true
    }
    /// Reorders axes: axis `k` of the result is axis `axes[k]` of this.
    pub fn permute(&self, axes: &[usize]) -> View {
        View {
            shape: axes.iter().map(|&a| self.shape[a]).collect::<Vec<_>>().into(),
            strides: axes.iter().map(|&a| self.strides[a]).collect(),
            offset: self.offset,
        }
    }
    /// Stretches axes of size 1 and adds leading axes. The shapes must be compatible.
    pub fn broadcast(&self, shape: &Shape) -> View {
        let lead = shape.rank() - self.shape.rank();
        let strides = (0..shape.rank())
            .map(|k| if k < lead || self.shape[k - lead] != shape[k] { 0 } else { self.strides[k - lead] })
            .collect();
        View { shape: shape.clone(), strides, offset: self.offset }
    }
    /// Keeps every `step`-th element of `axis`, `size` of them, from `start` on.
    pub fn slice(&self, axis: usize, start: usize, size: usize, step: usize) -> View {
        let mut view = self.clone();
        let mut sizes = view.shape.to_vec();
        sizes[axis] = size;
        view.shape = sizes.into();
        if size > 0 {
            view.offset = (view.offset as isize + start as isize * view.strides[axis]) as usize;
        }
        view.strides[axis] *= step as isize;
        view
    }
    /// Reverses `axis`.
    pub fn flip(&self, axis: usize) -> View {
        let mut view = self.clone();
        if view.shape.elements() > 0 {
            view.offset = (view.offset as isize + (view.shape[axis] as isize - 1) * view.strides[axis]) as usize;
        }
        view.strides[axis] = -view.strides[axis];
        view
    }
    /// A view of the same elements in another shape; `None` if that needs a copy. The numbers of elements must be
    /// equal.
    pub fn reshape(&self, shape: &Shape) -> Option<View> {
        if self.is_dense() {
            return Some(View { offset: self.offset, ..View::dense(shape.clone()) });
        }
        // Match runs of old axes with runs of new axes that have the same number of elements. The axes of an old run
        // must be contiguous with one another.
        let old: Vec<(usize, isize)> =
            self.shape.iter().copied().zip(self.strides.iter().copied()).filter(|&(n, _)| n != 1).collect();
        let mut strides = vec![0isize; shape.rank()];
        let (mut i, mut j) = (0, 0);
        while i < old.len() {
            let (start_i, start_j) = (i, j);
            let (mut product_old, mut product_new) = (old[i].0, 1usize);
            i += 1;
            while product_new != product_old {
                if product_new < product_old {
                    product_new *= *shape.get(j)?;
                    j += 1;
                } else {
                    product_old *= old.get(i)?.0;
                    i += 1;
                }
            }
            let run = &old[start_i..i];
            if run.windows(2).any(|w| w[0].1 != w[1].1 * w[1].0 as isize) {
                return None;
            }
            let mut stride = run[run.len() - 1].1;
            for k in (start_j..j).rev() {
                strides[k] = stride;
                stride *= shape[k] as isize;
            }
        }
        Some(View { shape: shape.clone(), strides, offset: self.offset })
    }
    /// The range of positions from the lowest to the highest element.
    pub fn range(&self) -> std::ops::Range<usize> {
        if self.shape.elements() == 0 {
            return self.offset..self.offset;
        }
        let (mut low, mut high) = (self.offset as isize, self.offset as isize);
        for (&size, &stride) in self.shape.iter().zip(&self.strides) {
            let reach = (size as isize - 1) * stride;
            (low, high) = (low + reach.min(0), high + reach.max(0));
        }
        low as usize..high as usize + 1
    }
    /// The position of the element with index `linear` in row-major order.
    pub fn index(&self, linear: usize) -> usize {
        let (mut rest, mut position) = (linear, self.offset as isize);
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            position += (rest % size) as isize * stride;
            rest /= size;
        }
        position as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshape_of_views_needs_a_copy_only_when_runs_do_not_merge() {
        let view = View::dense([2, 3, 4]);
        assert_eq!(view.reshape(&[6, 4].into()).unwrap().strides, vec![4, 1]);
        let transposed = view.permute(&[0, 2, 1]);
        assert!(transposed.reshape(&[2, 12].into()).is_none());
        assert_eq!(transposed.reshape(&[2, 2, 2, 3].into()).unwrap().strides, vec![12, 2, 1, 4]);
        let sliced = view.slice(1, 1, 2, 1);
        assert_eq!(sliced.reshape(&[2, 8].into()).unwrap().strides, vec![12, 1]);
        assert!(sliced.reshape(&[16].into()).is_none());
        let stretched = View::dense([1, 3]).broadcast(&[4, 3].into());
        assert!(stretched.reshape(&[12].into()).is_none());
        assert_eq!(stretched.reshape(&[2, 2, 3].into()).unwrap().strides, vec![0, 0, 1]);
    }

    #[test]
    fn index_follows_the_strides() {
        let view = View::dense([4, 5]).slice(0, 1, 3, 1).permute(&[1, 0]).flip(0);
        let expected: Vec<usize> = (0..5).rev().flat_map(|c| (1..4).map(move |r| r * 5 + c)).collect();
        assert_eq!((0..15).map(|i| view.index(i)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn too_large_shapes_are_refused_even_when_a_zero_hides_them() {
        assert!(Shape::from([usize::MAX, 2]).check().is_err());
        assert!(Shape::from([0, 1 << 31]).check().is_err());
        assert!(Shape::from([0, 7]).check().is_ok());
        assert!(Shape::from([1; 7]).check().is_err());
    }
}
