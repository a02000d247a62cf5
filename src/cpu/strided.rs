//! Loads and stores through strided views.

use crate::dtype::DType;
use crate::shape::{MAX_RANK, View};
use half::f16;

/// A view with adjacent axes merged (coalesced) where their strides allow it: a contiguous view has a single axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    rank: usize,
    sizes: [usize; MAX_RANK],
    strides: [isize; MAX_RANK],
    offset: usize,
}

impl Walk {
    pub(super) fn new(view: &View) -> Self {
        Walk::over(view, 0..view.shape.rank())
    }

    /// The view with its axes permuted.
    pub(super) fn over(view: &View, axes: impl Iterator<Item = usize>) -> Self {
        let mut walk = Walk { rank: 0, sizes: [1; MAX_RANK], strides: [0; MAX_RANK], offset: view.offset };
        for (size, stride) in axes.map(|axis| (view.shape[axis], view.strides[axis])).filter(|&(size, _)| size != 1) {
            match walk.rank.checked_sub(1) {
                Some(last) if walk.strides[last] == stride * size as isize => {
                    walk.sizes[last] *= size;
                    walk.strides[last] = stride;
                }
                _ => {
                    walk.sizes[walk.rank] = size;
                    walk.strides[walk.rank] = stride;
                    walk.rank += 1;
                }
            }
        }
        walk.rank = walk.rank.max(1);
        walk
    }

    /// The offset of the first element, if the view is contiguous.
    pub(super) fn dense_from(&self) -> Option<usize> {
        (self.rank == 1 && (self.strides[0] == 1 || self.sizes[0] == 1)).then_some(self.offset)
    }

    /// If the first axis is broadcast (stride 0): the number of points after which the elements repeat.
    pub(super) fn period(&self) -> Option<usize> {
        (self.strides[0] == 0).then(|| self.sizes[1..self.rank].iter().product())
    }

    /// If the view is a contiguous vector, broadcast along axes before it, after it, or both: the vector's offset, its
    /// length, and the number of successive points with the same element.
    pub(super) fn repeats(&self) -> Option<(usize, usize, usize)> {
        let first = usize::from(self.rank > 1 && self.strides[0] == 0);
        let each = match self.rank - first {
            1 => 1,
            2 if self.strides[first + 1] == 0 => self.sizes[first + 1],
            _ => return None,
        };
        (self.strides[first] == 1).then_some((self.offset, self.sizes[first], each))
    }

    /// Splits the points `start..start + len` into runs along the last axis, and calls `f(offset of the run's first
    /// element, stride, number of points before the run, its number of points)` for each.
    #[inline(always)]
    fn runs(&self, start: usize, len: usize, mut f: impl FnMut(usize, isize, usize, usize)) {
        if len == 0 {
            return;
        }
        let last = self.rank - 1;
        let mut index = [0; MAX_RANK];
        let (mut rest, mut line) = (start, self.offset as isize);
        for axis in (0..self.rank).rev() {
            index[axis] = rest % self.sizes[axis];
            rest /= self.sizes[axis];
            if axis != last {
                line += index[axis] as isize * self.strides[axis];
            }
        }
        let stride = self.strides[last];
        let (mut first, mut done) = (index[last], 0);
        loop {
            let n = (self.sizes[last] - first).min(len - done);
            f((line + first as isize * stride) as usize, stride, done, n);
            done += n;
            if done == len {
                return;
            }
            first = 0;
            for axis in (0..last).rev() {
                index[axis] += 1;
                line += self.strides[axis];
                if index[axis] < self.sizes[axis] {
                    break;
                }
                line -= self.sizes[axis] as isize * self.strides[axis];
                index[axis] = 0;
            }
        }
    }

    /// Loads points `start..start + out.len()`, in the compute dtype.
    #[inline(always)]
    pub(super) fn load(&self, words: &[u32], dtype: DType, start: usize, out: &mut [u32]) {
        if dtype == DType::F16 {
            let halves: &[f16] = bytemuck::cast_slice(words);
            self.gather(halves, start, out, |h| h.to_f32().to_bits());
        } else {
            self.gather(words, start, out, |w| w);
        }
    }

    #[inline(always)]
    fn gather<T: Copy>(&self, from: &[T], start: usize, out: &mut [u32], convert: impl Fn(T) -> u32) {
        self.runs(start, out.len(), |at, stride, done, n| {
            let out = &mut out[done..done + n];
            match stride {
                1 => out.iter_mut().zip(&from[at..at + n]).for_each(|(o, &x)| *o = convert(x)),
                0 => out.fill(convert(from[at])),
                2.. => {
                    let line = from[at..].iter().step_by(stride as usize);
                    out.iter_mut().zip(line).for_each(|(o, &x)| *o = convert(x));
                }
                _ => {
                    let line = from[..=at].iter().rev().step_by(stride.unsigned_abs());
                    out.iter_mut().zip(line).for_each(|(o, &x)| *o = convert(x));
                }
            }
        });
    }

    /// Stores points `start..start + values.len()`, rounded to `dtype`.
    #[inline(always)]
    pub(super) fn store(&self, words: &mut [u32], dtype: DType, start: usize, values: &[u32]) {
        if dtype == DType::F16 {
            let halves: &mut [f16] = bytemuck::cast_slice_mut(words);
            self.scatter(halves, start, values, |w| f16::from_f32(f32::from_bits(w)));
        } else {
            self.scatter(words, start, values, |w| w);
        }
    }

    #[inline(always)]
    fn scatter<T: Copy>(&self, to: &mut [T], start: usize, values: &[u32], convert: impl Fn(u32) -> T) {
        self.runs(start, values.len(), |at, stride, done, n| {
            let values = &values[done..done + n];
            if stride == 1 {
                to[at..at + n].iter_mut().zip(values).for_each(|(o, &x)| *o = convert(x));
            } else {
                for (i, &x) in values.iter().enumerate() {
                    to[(at as isize + i as isize * stride) as usize] = convert(x);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(view: &View) {
        let n = view.shape.elements();
        let words: Vec<u32> = (0..200).map(|i| i * 3 + 1).collect();
        let walk = Walk::new(view);
        for start in 0..n {
            for len in 0..=n - start {
                let mut out = vec![0; len];
                walk.load(&words, DType::U32, start, &mut out);
                let expected: Vec<u32> = (start..start + len).map(|i| words[view.index(i)]).collect();
                assert_eq!(out, expected, "{view:?} {start}+{len}");
            }
        }
    }

    #[test]
    fn loads_match_the_views_indices() {
        let view = View::dense([4, 5, 6]);
        check(&view);
        check(&view.permute(&[2, 0, 1]));
        check(&view.flip(0).flip(2));
        check(&view.flip(0).flip(1).flip(2));
        check(&view.slice(2, 1, 3, 2).slice(0, 1, 2, 1));
        check(&View::dense([1, 5, 1]).broadcast(&[4, 5, 3].into()));
        check(&View::dense(()).broadcast(&[7].into()));
        check(&View::dense(()));
    }

    #[test]
    fn stores_and_loads_round_trip() {
        for dtype in [DType::U32, DType::F16] {
            let view = View::dense([4, 6]).permute(&[1, 0]).flip(1).slice(0, 1, 4, 1);
            let walk = Walk::new(&view);
            let mut words = vec![0; 24];
            let values: Vec<u32> = (0..16u8).map(|i| f32::from(i).to_bits()).collect();
            walk.store(&mut words, dtype, 0, &values[..7]);
            walk.store(&mut words, dtype, 7, &values[7..]);
            let mut out = vec![0; 16];
            walk.load(&words, dtype, 0, &mut out);
            assert_eq!(out, values);
        }
    }
}
