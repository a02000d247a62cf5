//! A launch's axes, merged, and how each operand moves along them.

use super::Pattern;

/// Merges neighbouring axes wherever every view's elements stay evenly spaced, but for where so many points follow as
/// `breaks` says, and drops axes of size 1. The strides are those of each view, by axis.
pub(super) fn merge(sizes: &[usize], strides: &[&[isize]], breaks: &[usize]) -> (Vec<usize>, Vec<Vec<isize>>) {
    let mut merged: Vec<usize> = Vec::new();
    let mut out: Vec<Vec<isize>> = vec![Vec::new(); strides.len()];
    for (axis, &size) in sizes.iter().enumerate().filter(|&(_, &size)| size != 1) {
        let fits = |(done, view): (&Vec<isize>, &&[isize])| done.last() == Some(&(view[axis] * size as isize));
        let split = breaks.contains(&sizes[axis..].iter().product());
        if !split && !merged.is_empty() && out.iter().zip(strides).all(fits) {
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

/// Four neighbouring points of an operand, if it has them as an aligned vector (`Some(true)`) or as one element for all
/// (`Some(false)`), wherever a multiple of four of the points' innermost axis lies before them.
pub(super) fn quad(pattern: Pattern, sizes: &[usize], strides: &[isize], offset: usize) -> Option<bool> {
    let aligned = offset.is_multiple_of(4);
    match pattern {
        Pattern::Fixed => Some(false),
        Pattern::Linear => aligned.then_some(true),
        Pattern::Result => Some(true),
        Pattern::Strided => match (sizes.last()?, strides.split_last()?) {
            (size, _) if !size.is_multiple_of(4) => None,
            (_, (0, _)) => Some(false),
            (_, (1, others)) => (aligned && others.iter().all(|stride| stride % 4 == 0)).then_some(true),
            _ => None,
        },
    }
}

/// How positions follow from the point, for a view of these strides.
pub(super) fn pattern(sizes: &[usize], strides: &[isize]) -> Pattern {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{Shape, View};

    #[test]
    fn axes_merge_where_all_views_allow_it() {
        let dense = View::dense([2, 3, 4]);
        let (sizes, strides) = merge(&dense.shape, &[&dense.strides], &[]);
        assert_eq!((sizes, strides), (vec![24], vec![vec![1]]));
        let bias = View::dense([4]).broadcast(&Shape::from([2, 3, 4]));
        let (sizes, strides) = merge(&dense.shape, &[&dense.strides, &bias.strides], &[]);
        assert_eq!((sizes, strides), (vec![6, 4], vec![vec![4, 1], vec![0, 1]]));
        assert_eq!(merge(&[1, 1], &[&[7, 9]], &[]), (vec![], vec![vec![]]));
    }
}
