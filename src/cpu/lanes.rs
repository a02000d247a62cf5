//! Between lines of elements and vectors whose lanes are lines.

use pulp::Simd;

/// Elements copied at once by [`pad_rows`]; padded lines have this much room behind them.
pub(super) const COPY: usize = 16;

/// Calls a function with a constant in place of a small `n`, and with 0 for a large one.
macro_rules! with_constant {
    ($n:expr, $f:ident, $s:ty, ($($arg:expr),*)) => {
        with_constant!(@ $n, $f, $s, ($($arg),*), 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20)
    };
    (@ $n:expr, $f:ident, $s:ty, $args:tt, $($constant:literal)*) => {
        match $n {
            $($constant => with_constant!(! $f, $s, $constant, $args),)*
            _ => with_constant!(! $f, $s, 0, $args),
        }
    };
    (! $f:ident, $s:ty, $constant:literal, ($($arg:expr),*)) => { $f::<$s, $constant>($($arg),*) };
}

/// `to[lane, p] = from[p, lane]` for the lanes in use, of lines of `P` elements if that is not 0.
#[inline(always)]
pub(super) fn from_lanes<S: Simd, const P: usize>(from: &[f32], to: &mut [f32], length: usize) {
    let length = if P == 0 { length } else { P };
    for (lane, line) in to.chunks_exact_mut(length).enumerate() {
        let column = &from[lane..][..(length - 1) * S::F32_LANES + 1];
        for (p, to) in line.iter_mut().enumerate() {
            *to = column[p * S::F32_LANES];
        }
    }
}

/// `to[p, lane] = from[lane, p]`, of lines of `P` elements if that is not 0; the other lanes stay as they are.
#[inline(always)]
pub(super) fn to_lanes<S: Simd, const P: usize>(from: &[f32], to: &mut [f32], length: usize) {
    let length = if P == 0 { length } else { P };
    for (lane, line) in from.chunks_exact(length).enumerate() {
        let column = &mut to[lane..][..(length - 1) * S::F32_LANES + 1];
        for (p, &x) in line.iter().enumerate() {
            column[p * S::F32_LANES] = x;
        }
    }
}

pub(super) use with_constant;

/// Elements of packed weights.
pub(super) fn packed_len<S: Simd>(channels: usize, lines: usize, taps: usize) -> usize {
    channels.next_multiple_of(S::F32_LANES) * lines * taps
}

/// The weights as vectors `[block of lanes][line][tap]`, 0 in the lanes that are not used.
#[inline(always)]
pub(super) fn pack<S: Simd>(
    packed: &mut [f32],
    channels: usize,
    lines: usize,
    taps: usize,
    weight: impl Fn(usize, usize, usize) -> f32,
) -> &[S::f32s] {
    let lanes = S::F32_LANES;
    for (index, vector) in packed.chunks_exact_mut(lanes).enumerate() {
        let (block, line, tap) = (index / (lines * taps), index / taps % lines, index % taps);
        for (lane, to) in vector.iter_mut().enumerate() {
            let channel = block * lanes + lane;
            *to = if channel < channels { weight(channel, line, tap) } else { 0.0 };
        }
    }
    S::as_simd_f32s(packed).0
}

/// Copies lines of `length` elements into lines of `to` elements, from element `before` on, with 0 around them. Whole
/// blocks are copied: what they write too much is overwritten by what follows. There are `COPY` elements of room.
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
        // What follows the line, and what precedes the next.
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
