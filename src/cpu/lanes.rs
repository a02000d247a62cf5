//! Transposes between row-major matrices and vector registers, with one lane per row. A "line" is such a row: the
//! elements of one channel, say.

// Loops index several register arrays at once; closures of iterators were not inlined here, and so not vectorised.
#![allow(clippy::needless_range_loop)]

use pulp::Simd;

/// Elements per block copy in [`pad_rows`]; its output needs this many elements of slack at the end.
pub(super) const COPY: usize = 16;

/// Lanes of the widest vector register.
pub(super) const MOST_LANES: usize = 16;

/// Specialises the code for each line length up to 8, which is then a constant, and keeps a general version for the
/// others.
macro_rules! by_length {
    ($length:expr, $name:ident => $code:block) => {
        by_length!($length, $name, $code, 1 2 3 4 5 6 7 8)
    };
    ($length:expr, $name:ident, $code:block, $($n:literal)*) => {
        match $length {
            $($n => {
                let $name = $n;
                $code
            })*
            _ => {
                let $name = $length;
                $code
            }
        }
    };
}

/// `to[lane, p] = from[p, lane]`, for as many lanes as `to` has lines of `length` elements.
#[inline(always)]
pub(super) fn from_lanes<S: Simd>(simd: S, from: &[S::f32s], to: &mut [f32], length: usize) {
    let lanes = S::F32_LANES;
    if length * 2 <= lanes || lanes < 8 {
        let from: &[f32] = bytemuck::cast_slice(from);
        by_length!(length, n => {
            for (lane, line) in to.chunks_exact_mut(n).enumerate().take(lanes) {
                for p in 0..n {
                    line[p] = from[p * lanes + lane];
                }
            }
        });
        return;
    }
    let mut start = 0;
    loop {
        let used = (length - start).min(lanes);
        let zero = simd.splat_f32s(0.0);
        // Loops, not closures: code that is not inlined is not compiled for these vector instructions.
        let mut rows = [zero; MOST_LANES];
        let from = &from[start..];
        for i in 0..lanes {
            if let Some(&row) = from.get(i) {
                rows[i] = row;
            }
        }
        let lines = transpose(simd, rows);
        let count = to.len() / length;
        for lane in 0..lanes {
            if lane >= count {
                break;
            }
            // A full store may run into the next line, which is stored later.
            let at = lane * length + start;
            match to.get_mut(at..at + lanes) {
                Some(to) => S::as_mut_simd_f32s(to).0[0] = lines[lane],
                None => simd.partial_store_f32s(&mut to[at..at + used], lines[lane]),
            }
        }
        if start + lanes >= length {
            return;
        }
        // The last block overlaps the previous one instead of being shorter than a vector.
        start = (start + lanes).min(length - lanes);
    }
}

/// `to[p, lane] = from[lane, p]`, for as many lanes as `from` has lines of `length` elements; 0 in the other lanes.
#[inline(always)]
pub(super) fn to_lanes<S: Simd>(simd: S, from: &[f32], to: &mut [S::f32s], length: usize) {
    let lanes = S::F32_LANES;
    if length * 2 <= lanes || lanes < 8 {
        let to: &mut [f32] = bytemuck::cast_slice_mut(to);
        to.fill(0.0);
        by_length!(length, n => {
            for (lane, line) in from.chunks_exact(n).enumerate().take(lanes) {
                for p in 0..n {
                    to[p * lanes + lane] = line[p];
                }
            }
        });
        return;
    }
    lines_to_lanes(simd, from, length, from.len() / length, to, 1, length);
}

/// Like [`to_lanes`], for `count` lines with a stride of `pitch` elements, and a stride of `step` vectors in `to`.
/// Lines must be longer than half a vector, and a vector must have at least 8 lanes.
#[inline(always)]
pub(super) fn lines_to_lanes<S: Simd>(
    simd: S,
    from: &[f32],
    pitch: usize,
    count: usize,
    to: &mut [S::f32s],
    step: usize,
    length: usize,
) {
    let (mut start, lanes) = (0, S::F32_LANES);
    loop {
        let used = (length - start).min(lanes);
        let mut lines = [simd.splat_f32s(0.0); MOST_LANES];
        for lane in 0..lanes {
            let at = lane * pitch + start;
            if lane < count {
                // A full load may read past the line; those elements are not stored.
                lines[lane] = match from.get(at..at + lanes) {
                    Some(line) => S::as_simd_f32s(line).0[0],
                    None => simd.partial_load_f32s(&from[at..at + used]),
                };
            }
        }
        let rows = transpose(simd, lines);
        for (to, row) in to[start * step..].iter_mut().step_by(step).zip(&rows[..used]) {
            *to = *row;
        }
        if start + lanes >= length {
            return;
        }
        start = (start + lanes).min(length - lanes);
    }
}

/// Transposes the square matrix of the first rows, as many as there are lanes, in log₂(lanes) steps: each swaps halves,
/// quarters, ... between pairs of rows.
#[inline(always)]
fn transpose<S: Simd>(simd: S, rows: [S::f32s; MOST_LANES]) -> [S::f32s; MOST_LANES] {
    let mut rows = rows;
    exchange::<S, 8>(simd, &mut rows);
    exchange::<S, 4>(simd, &mut rows);
    exchange::<S, 2>(simd, &mut rows);
    exchange::<S, 1>(simd, &mut rows);
    rows
}

/// One step of the transpose: for rows `i` and `i + H`, swaps the lanes of row `i` whose index has bit `H` set with
/// those of row `i + H` whose index does not.
#[inline(always)]
fn exchange<S: Simd, const H: usize>(simd: S, rows: &mut [S::f32s; MOST_LANES]) {
    if 2 * H > S::F32_LANES {
        return;
    }
    let mut bit = [0.0f32; MOST_LANES];
    for lane in 0..MOST_LANES {
        if lane & H != 0 {
            bit[lane] = 1.0;
        }
    }
    let high = simd.less_than_f32s(simd.splat_f32s(0.0), S::as_simd_f32s(&bit).0[0]);
    for i in 0..MOST_LANES {
        if i & H == 0 && i < S::F32_LANES {
            let (a, b) = (rows[i], rows[i + H]);
            rows[i] = simd.select_f32s(high, simd.rotate_right_f32s(b, H), a);
            rows[i + H] = simd.select_f32s(high, b, simd.rotate_left_f32s(a, H));
        }
    }
}

/// Pads rows of `length` elements with zeros to rows of `to` elements, `before` of the zeros in front. Whole blocks are
/// copied: what they write beyond a row is overwritten later. `padded` has `COPY` elements of slack at the end.
#[inline(always)]
pub(super) fn pad_rows(from: &[f32], length: usize, padded: &mut [f32], to: usize, before: usize) {
    let after = to - before - length;
    padded[..before].fill(0.0);
    if length <= COPY && after + before <= COPY {
        let rows = from.len() / length;
        let whole = rows.saturating_sub(COPY.div_ceil(length));
        for row in 0..whole {
            let target = &mut padded[row * to + before..][..length + COPY];
            target[..COPY].copy_from_slice(&from[row * length..][..COPY]);
            target[length..].fill(0.0);
        }
        for row in whole..rows {
            let target = &mut padded[row * to + before..][..length + COPY];
            target[..length].copy_from_slice(&from[row * length..][..length]);
            target[length..].fill(0.0);
        }
        return;
    }
    for row in 0..from.len() / length {
        let (source, target) = (row * length, row * to + before);
        let mut done = 0;
        while done < length {
            match from.get(source + done..source + done + COPY) {
                Some(block) => padded[target + done..][..COPY].copy_from_slice(block),
                None => {
                    let n = (length - done).min(COPY);
                    padded[target + done..][..n].copy_from_slice(&from[source + done..][..n]);
                }
            }
            done += COPY;
        }
        // The zeros after this row and before the next.
        let (end, zeros) = (target + length, after + before);
        let zeros = zeros.min(padded.len() - end);
        for start in (0..zeros).step_by(COPY) {
            match padded.get_mut(end + start..end + start + COPY) {
                Some(block) => block.fill(0.0),
                None => padded[end + start..].fill(0.0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::{Arch, WithSimd};

    struct RoundTrip(usize, usize);
    impl WithSimd for RoundTrip {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let RoundTrip(lines, length) = self;
            let from: Vec<f32> = (0..lines * length).map(|i| i as f32 + 1.0).collect();
            let mut rows = vec![simd.splat_f32s(f32::NAN); length];
            to_lanes(simd, &from, &mut rows, length);
            let elements: &[f32] = bytemuck::cast_slice(&rows);
            for (i, &x) in elements.iter().enumerate() {
                let (p, lane) = (i / S::F32_LANES, i % S::F32_LANES);
                let wanted = if lane < lines { from[lane * length + p] } else { 0.0 };
                assert_eq!(x, wanted, "{lines} {length}: {p} {lane}");
            }
            let mut back = vec![f32::NAN; lines * length];
            from_lanes(simd, &rows, &mut back, length);
            assert_eq!(back, from, "{lines} {length}");
        }
    }

    #[test]
    fn lines_survive_a_round_trip_through_lanes() {
        let lanes = super::super::simd::lane_count();
        for lines in 1..=lanes {
            for length in (1..40).chain([48, 100]) {
                Arch::new().dispatch(RoundTrip(lines, length));
            }
        }
    }
}
