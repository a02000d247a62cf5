// How a residue class of positions sees an axis of a convolution's input gradient: a part of conv.wgsl and of
// conv_blocks.wgsl.
//
// Position j of the result gets a term from kernel position k where the stride divides j + pad − k · dilation; the term's
// position in the output is the quotient. Positions equal modulo the stride meet the same kernel positions, every
// period-th, period = stride / gcd(stride, dilation); from one position of the class to the next the quotient grows by 1.
// A class that meets no kernel position has k_size 0.
//
// Bounds: nothing is read or written.

struct Axis {
    // Its positions: the first, how many; they are a stride apart.
    first: u32,
    size: u32,
    // Where the first position and the first kernel position meet in `x`: may be negative, then wraps around.
    base: u32,
    // Its kernel positions: the first, how many; they are a period apart.
    k_first: u32,
    k_size: u32,
}

fn axis(residue: u32, stride: u32, period: u32, dilation: u32, pad: u32, size: u32, k_size: u32) -> Axis {
    var k_first = period;
    for (var k = 0u; k < period; k += 1u) {
        if k * dilation % stride == residue {
            k_first = k;
        }
    }
    let first = (residue + stride - pad % stride) % stride;
    // The division is exact.
    let base = (i32(first + pad) - i32(k_first * dilation)) / i32(stride);
    return Axis(
        first,
        (max(size, first) - first + stride - 1u) / stride,
        u32(base),
        k_first,
        select(0u, (max(k_size, k_first) - k_first + period - 1u) / period, k_first < period),
    );
}
