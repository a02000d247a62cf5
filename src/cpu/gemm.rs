//! A safe wrapper around the `gemm-f32` crate, whose interface takes raw pointers.
//!
//! It is the `f32` part of the `gemm` crate, which would also compile the same code for five other types.

/// The layout of a matrix in a slice: element `(i, j)` is at `offset + i · rows + j · columns`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) offset: usize,
    /// The stride between rows.
    pub(super) rows: isize,
    /// The stride between columns.
    pub(super) columns: isize,
}

impl Layout {
    /// A contiguous row-major matrix with this many columns, at the start of the slice.
    pub(super) fn dense(columns: usize) -> Self {
        Layout { offset: 0, rows: columns as isize, columns: 1 }
    }
    /// The transposed matrix.
    pub(super) fn t(self) -> Self {
        Layout { rows: self.columns, columns: self.rows, ..self }
    }
    /// The same strides at another offset.
    pub(super) fn at(self, offset: usize) -> Self {
        Layout { offset, ..self }
    }
    /// The same matrix with its `count` columns in reverse order.
    fn reversed_columns(self, count: usize) -> Self {
        let last = (count as isize - 1) * self.columns;
        Layout { offset: self.offset.wrapping_add_signed(last), columns: -self.columns, ..self }
    }
    /// Whether all elements of an `m × n` matrix are within a slice of `len` elements.
    fn fits(&self, m: usize, n: usize, len: usize) -> bool {
        let reach = |count: usize, stride: isize| isize::try_from(count - 1).ok()?.checked_mul(stride);
        let ends = || {
            let (r, c, start) = (reach(m, self.rows)?, reach(n, self.columns)?, isize::try_from(self.offset).ok()?);
            let low = start.checked_add(r.min(0))?.checked_add(c.min(0))?;
            let high = start.checked_add(r.max(0))?.checked_add(c.max(0))?;
            Some(low >= 0 && (high as usize) < len)
        };
        ends().unwrap_or(false)
    }
}

/// `c = a · b`, or `c += a · b` with `accumulate`, where `a` is `m × k` and `b` is `k × n`. The column stride of `c`
/// must be 1, and its rows must not overlap.
///
/// # Panics
///
/// If a matrix exceeds its slice, or the layout of `c` is not as above.
pub(super) fn gemm(
    [m, k, n]: [usize; 3],
    (c, lc): (&mut [f32], Layout),
    accumulate: bool,
    (a, la): (&[f32], Layout),
    (b, lb): (&[f32], Layout),
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(lc.fits(m, n, c.len()) && lc.columns == 1 && (m == 1 || lc.rows >= n as isize), "{lc:?}");
    if k == 0 {
        if !accumulate {
            (0..m).for_each(|i| c[lc.offset + i * lc.rows as usize..][..n].fill(0.0));
        }
        return;
    }
    assert!(la.fits(m, k, a.len()), "{la:?}");
    assert!(lb.fits(k, n, b.len()), "{lb:?}");
    // The routine expects a column-major result, so a row-major one is computed as `cᵀ = bᵀ · aᵀ`. The column stride of
    // its left operand must not be negative.
    let rows = if m == 1 { lc.rows.max(n as isize) } else { lc.rows };
    let (m, n, c_columns, c_rows, (left, mut ll), (right, mut lr)) =
        if rows > 1 { (n, m, rows, 1, (b, lb.t()), (a, la.t())) } else { (m, n, 1, rows, (a, la), (b, lb)) };
    if ll.columns < 0 {
        ll = ll.reversed_columns(k);
        lr = lr.t().reversed_columns(k).t();
    }
    let multiply = gemm_f32::gemm::f32::get_gemm_fn();
    // SAFETY: the assertions above check, without overflow, that each matrix is within its slice from its lowest to its
    // highest element. Each offset is that of an element, also after columns are reversed, and so in bounds. `c` is
    // borrowed mutably, so it overlaps neither `a` nor `b`. The elements of `c` are distinct: its rows do not overlap,
    // and `c_rows` and `c_columns` are positive. All elements are initialised. The crate selects a routine that this
    // processor supports. With `Parallelism::None` no pointer leaves this thread or outlives the call.
    #[allow(unsafe_code)]
    unsafe {
        multiply(
            m,
            n,
            k,
            c.as_mut_ptr().add(lc.offset),
            c_columns,
            c_rows,
            accumulate,
            left.as_ptr().add(ll.offset),
            ll.columns,
            ll.rows,
            right.as_ptr().add(lr.offset),
            lr.columns,
            lr.rows,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm_common::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_of_any_sign_and_accumulation() {
        let a: Vec<f32> = (0..12u8).map(f32::from).collect();
        let reversed = Layout { offset: 11, rows: -4, columns: -1 };
        let mut c = vec![1.0; 9];
        gemm(
            [3, 4, 2],
            (&mut c, Layout { offset: 1, rows: 3, columns: 1 }),
            true,
            (&a, reversed),
            (&a, Layout::dense(2)),
        );
        // Rows of a: [11 10 9 8], [7 6 5 4], [3 2 1 0]; of b: [0 1], [2 3], [4 5], [6 7].
        assert_eq!(c, [1.0, 105.0, 143.0, 1.0, 57.0, 79.0, 1.0, 9.0, 15.0]);
    }

    #[test]
    #[should_panic(expected = "Layout")]
    fn a_matrix_that_exceeds_its_slice_is_rejected() {
        let (a, mut c) = (vec![0.0; 6], vec![0.0; 4]);
        gemm([2, 3, 2], (&mut c, Layout::dense(2)), false, (&a, Layout::dense(3)), (&a, Layout::dense(2).at(1)));
    }
}
