// Convolution (cross-correlation) and its two gradients, 1-D (height 1) and 2-D, as products with a gathered matrix:
//   c[g, i, j] = Σ_k w[g, i, k] · X[g, k, j].
// X is never stored: its element at (k, j) is one of `x`, or 0. With k = (k0, ky, kx) and j = (j0, jy, jx) it is
//   x[k0, j0, y, x] at y = ky·k_step.y + jy·j_step.y − pad.y (and the same for x) for a convolution, k0 = input channel,
//     (ky, kx) in its kernel, j0 = sample, (jy, jx) in its output; and for the weight's gradient, k0 = sample, (ky, kx) in
//     the output, j0 = input channel, (jy, jx) in the kernel;
//   x[k0, j0, y/SY, x/SX] at y = jy + pad.y − ky·k_step.y where SY divides y, for the input's gradient (also the transposed
//     convolution): k0 = output channel, (ky, kx) in the kernel, j0 = sample, (jy, jx) in the result.
//
// A thread computes ROWS rows of one column in registers, so an element of X, fetched once, feeds ROWS multiply-adds.
// All threads of a workgroup read the same elements of `w`, from workgroup memory, where they come DEPTH at a time together
// with what k contributes to a position in `x`: nothing is divided inside the loops. SPLIT threads share a column, each
// with a part of the k, and add their sums in a fixed order: no atomics, so the result is the same bits every time.
//
// Layout: all dense, from offsets; strides say which axis is which, so one text serves the three passes.
// Bindings: 0 the sizes and strides, 1 `x`, 2 `w`, 3 `c`.
// Constants:
//   COLUMNS     threads along columns; COLUMNS · SPLIT at most 256.
//   SPLIT       threads that share a column: at most 16.
//   ROWS        rows a thread computes: 4, 8, 12 or 16.
//   TURN        k a thread visits between barriers: 4, 8 or 16, and a divisor of COLUMNS. DEPTH = TURN · SPLIT of them are
//               in workgroup memory: DEPTH · (4 · ROWS + 16) bytes, which with 16 bytes a thread is at most 16 KiB.
//   GATHER      how positions are found: 0 without padding, 1 with padding, 2 for the input's gradient.
//   SY, SX      the convolution's stride where GATHER is 2.
//   WIDE        1: entries of eight k are read by eight lanes of a subgroup each; needs subgroups of 8 or more, full ones, in
//               the order of the threads. 0: every thread reads every entry.
//   EXTRA       vectors of four words at the end of the parameters, for a replaced region `store`: 1 or more.
//   T           the element type in memory: f32 or f16; sums are f32.
// Regions: `store` writes one element of the result; every element goes through it once.
// Bounds: rows beyond the last load as 0 and columns beyond the last repeat it; neither is stored. k beyond the last count
//   as 0 on both sides and read `x` where the column begins. A position outside `x` reads the first element instead and
//   counts as 0; those left of 0 wrap around to large u32, so one comparison rejects both sides. Workgroups beyond the last
//   tile do nothing.

const COLUMNS: u32 = 64u;
const SPLIT: u32 = 1u;
const ROWS: u32 = 16u;
const TURN: u32 = 16u;
const GATHER: u32 = 1u;
const SY: u32 = 1u;
const SX: u32 = 1u;
const WIDE: u32 = 0u;
const THREADS: u32 = COLUMNS * SPLIT;
const DEPTH: u32 = TURN * SPLIT;
const EXTRA: u32 = 1u;
alias T = f32;

struct Params {
    m: u32,
    n: u32,
    k: u32,
    groups: u32,
    tiles_m: u32,
    tiles_n: u32,
    // Strides of `w`: of a group, of a row, and of the three parts of k.
    w_offset: u32,
    w_group: u32,
    w_row: u32,
    w_k0: u32,
    w_ky: u32,
    w_kx: u32,
    // Strides of `x`: of a group and of k0 and j0; the sizes of its planes.
    x_offset: u32,
    x_group: u32,
    x_k0: u32,
    x_j0: u32,
    x_height: u32,
    x_width: u32,
    // Strides of `c`: of a group, of a row and of j0.
    c_offset: u32,
    c_group: u32,
    c_row: u32,
    c_j0: u32,
    pad_y: u32,
    pad_x: u32,
    // Sizes of the inner parts of k and j, and how far one of them moves in `x`.
    ky_size: u32,
    kx_size: u32,
    ky_step: u32,
    kx_step: u32,
    jy_size: u32,
    jx_size: u32,
    jy_step: u32,
    jx_step: u32,
    // DEPTH as parts of k.
    depth_k0: u32,
    depth_ky: u32,
    depth_kx: u32,
    unused: u32,
    // Words of a replaced region `store`.
    extra: array<vec4<u32>, EXTRA>,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<T>;
@group(0) @binding(2) var<storage, read> w: array<T>;
@group(0) @binding(3) var<storage, read_write> c: array<T>;

// Four rows each, by k; later the sums of threads that share a column.
var<workgroup> w_tile: array<vec4<f32>, max(ROWS / 4u * DEPTH, THREADS)>;
// What k adds to a position: in memory, then along y and x.
var<workgroup> k_tile: array<vec4<u32>, DEPTH>;

struct Sums {
    s0: vec4<f32>,
    s1: vec4<f32>,
    s2: vec4<f32>,
    s3: vec4<f32>,
}

fn load_w(base: u32, row: u32, inside: bool) -> f32 {
    let here = inside & (row < p.m);
    return select(0.0, f32(w[select(p.w_offset, base + row * p.w_row, here)]), here);
}

fn load_w4(base: u32, row: u32, inside: bool) -> vec4<f32> {
    return vec4<f32>(
        load_w(base, row, inside),
        load_w(base, row + 1u, inside),
        load_w(base, row + 2u, inside),
        load_w(base, row + 3u, inside),
    );
}

fn load_x(j: vec3<u32>, k: vec4<u32>) -> f32 {
    var at = j.x + k.x;
    var inside = k.w != 0u;
    if GATHER == 1u {
        let y = j.y + k.y;
        let z = j.z + k.z;
        inside = inside & (y < p.x_height) & (z < p.x_width);
        at = select(p.x_offset, at + y * p.x_width + z, inside);
    }
    if GATHER == 2u {
        let far_y = j.y - k.y;
        let far_x = j.z - k.z;
        let y = far_y / SY;
        let z = far_x / SX;
        inside = inside & (y < p.x_height) & (z < p.x_width) & (y * SY == far_y) & (z * SX == far_x);
        at = select(p.x_offset, at + y * p.x_width + z, inside);
    }
    return select(0.0, f32(x[at]), inside);
}

struct Weights {
    w0: vec4<f32>,
    w1: vec4<f32>,
    w2: vec4<f32>,
    w3: vec4<f32>,
}

fn weights(k: u32) -> Weights {
    var all = Weights();
    all.w0 = w_tile[k];
    if ROWS > 4u {
        all.w1 = w_tile[DEPTH + k];
    }
    if ROWS > 8u {
        all.w2 = w_tile[2u * DEPTH + k];
    }
    if ROWS > 12u {
        all.w3 = w_tile[3u * DEPTH + k];
    }
    return all;
}

fn multiply(sums: ptr<function, Sums>, j: vec3<u32>, k: vec4<u32>, all: Weights) {
    let element = load_x(j, k);
    (*sums).s0 += element * all.w0;
    if ROWS > 4u {
        (*sums).s1 += element * all.w1;
    }
    if ROWS > 8u {
        (*sums).s2 += element * all.w2;
    }
    if ROWS > 12u {
        (*sums).s3 += element * all.w3;
    }
}

// With WIDE 1 the region below is replaced: `fromI` gives the value that lane I of the subgroup has.
// [broadcast]
fn from0(v: vec4<f32>) -> vec4<f32> {
    return v;
}
fn from1(v: vec4<f32>) -> vec4<f32> {
    return v;
}
fn from2(v: vec4<f32>) -> vec4<f32> {
    return v;
}
fn from3(v: vec4<f32>) -> vec4<f32> {
    return v;
}
fn from4(v: vec4<f32>) -> vec4<f32> {
    return v;
}
fn from5(v: vec4<f32>) -> vec4<f32> {
    return v;
}
fn from6(v: vec4<f32>) -> vec4<f32> {
    return v;
}
fn from7(v: vec4<f32>) -> vec4<f32> {
    return v;
}
fn at_from0(v: vec4<u32>) -> vec4<u32> {
    return v;
}
fn at_from1(v: vec4<u32>) -> vec4<u32> {
    return v;
}
fn at_from2(v: vec4<u32>) -> vec4<u32> {
    return v;
}
fn at_from3(v: vec4<u32>) -> vec4<u32> {
    return v;
}
fn at_from4(v: vec4<u32>) -> vec4<u32> {
    return v;
}
fn at_from5(v: vec4<u32>) -> vec4<u32> {
    return v;
}
fn at_from6(v: vec4<u32>) -> vec4<u32> {
    return v;
}
fn at_from7(v: vec4<u32>) -> vec4<u32> {
    return v;
}
// [end]

// The next k: eight, or four where TURN is 4.
fn eight(sums: ptr<function, Sums>, j: vec3<u32>, k: u32, lane: u32) {
    if WIDE == 1u {
        let w = weights(k + lane);
        let at = k_tile[k + lane];
        multiply(sums, j, at_from0(at), Weights(from0(w.w0), from0(w.w1), from0(w.w2), from0(w.w3)));
        multiply(sums, j, at_from1(at), Weights(from1(w.w0), from1(w.w1), from1(w.w2), from1(w.w3)));
        multiply(sums, j, at_from2(at), Weights(from2(w.w0), from2(w.w1), from2(w.w2), from2(w.w3)));
        multiply(sums, j, at_from3(at), Weights(from3(w.w0), from3(w.w1), from3(w.w2), from3(w.w3)));
        if TURN > 4u {
            multiply(sums, j, at_from4(at), Weights(from4(w.w0), from4(w.w1), from4(w.w2), from4(w.w3)));
            multiply(sums, j, at_from5(at), Weights(from5(w.w0), from5(w.w1), from5(w.w2), from5(w.w3)));
            multiply(sums, j, at_from6(at), Weights(from6(w.w0), from6(w.w1), from6(w.w2), from6(w.w3)));
            multiply(sums, j, at_from7(at), Weights(from7(w.w0), from7(w.w1), from7(w.w2), from7(w.w3)));
        }
    } else {
        multiply(sums, j, k_tile[k + 0u], weights(k + 0u));
        multiply(sums, j, k_tile[k + 1u], weights(k + 1u));
        multiply(sums, j, k_tile[k + 2u], weights(k + 2u));
        multiply(sums, j, k_tile[k + 3u], weights(k + 3u));
        if TURN > 4u {
            multiply(sums, j, k_tile[k + 4u], weights(k + 4u));
            multiply(sums, j, k_tile[k + 5u], weights(k + 5u));
            multiply(sums, j, k_tile[k + 6u], weights(k + 6u));
            multiply(sums, j, k_tile[k + 7u], weights(k + 7u));
        }
    }
}

// Adds the sums of the threads that share a column; the first of them gets the result.
fn join(sum: vec4<f32>, part: u32, thread: u32) -> vec4<f32> {
    workgroupBarrier();
    w_tile[thread] = sum;
    workgroupBarrier();
    var total = sum;
    if part == 0u {
        for (var other = thread + COLUMNS; other < THREADS; other += COLUMNS) {
            total += w_tile[other];
        }
    }
    return total;
}

// What a replaced region `store` declares.
// [extra]
// [end]

// [store]
// `i` is the element's row-major number in the dense result.
fn store(i: u32, value: f32) {
    c[p.c_offset + i] = T(value);
}
// [end]

fn store_rows(at: u32, row: u32, values: vec4<f32>) {
    if row < p.m {
        store(at + row * p.c_row, values.x);
    }
    if row + 1u < p.m {
        store(at + (row + 1u) * p.c_row, values.y);
    }
    if row + 2u < p.m {
        store(at + (row + 2u) * p.c_row, values.z);
    }
    if row + 3u < p.m {
        store(at + (row + 3u) * p.c_row, values.w);
    }
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let tile = workgroup.y * workgroups.x + workgroup.x;
    let row = tile % p.tiles_m * ROWS;
    let first_column = tile / p.tiles_m % p.tiles_n * COLUMNS;
    let g = tile / (p.tiles_m * p.tiles_n);
    if g >= p.groups {
        return;
    }
    let lane = thread % min(8u, TURN);
    let part = select(thread / COLUMNS, 0u, SPLIT == 1u);
    let column = first_column + select(thread % COLUMNS, thread, SPLIT == 1u);

    // The column's position.
    let last_column = min(column, p.n - 1u);
    let rest = last_column / p.jx_size;
    let j0 = rest / p.jy_size;
    var jy = rest % p.jy_size * p.jy_step;
    var jx = last_column % p.jx_size * p.jx_step;
    var j = vec3<u32>(p.x_offset + g * p.x_group + j0 * p.x_j0, 0u, 0u);
    if GATHER == 0u {
        j.x += jy * p.x_width + jx;
    } else if GATHER == 1u {
        j.y = jy - p.pad_y;
        j.z = jx - p.pad_x;
    } else {
        j.y = jy + p.pad_y;
        j.z = jx + p.pad_x;
    }

    // The k this thread brings to workgroup memory, counted from the tile's first, and its parts.
    let k = thread % DEPTH;
    var k0 = k / (p.kx_size * p.ky_size);
    var ky = k / p.kx_size % p.ky_size;
    var kx = k % p.kx_size;

    var sums = Sums();
    for (var start = 0u; start < p.k; start += DEPTH) {
        if start > 0u {
            workgroupBarrier();
        }
        let inside = start + k < p.k;
        let base = p.w_offset + g * p.w_group + k0 * p.w_k0 + ky * p.w_ky + kx * p.w_kx;
        for (var r = thread / DEPTH; r < ROWS / 4u; r += THREADS / DEPTH) {
            w_tile[r * DEPTH + k] = load_w4(base, row + 4u * r, inside);
        }
        if thread < DEPTH {
            let y = ky * p.ky_step;
            let z = kx * p.kx_step;
            let at = k0 * p.x_k0 + select(0u, y * p.x_width + z, GATHER == 0u);
            k_tile[k] = select(vec4<u32>(), vec4<u32>(at, y, z, 1u), inside);
        }
        kx += p.depth_kx;
        ky += p.depth_ky;
        k0 += p.depth_k0;
        if kx >= p.kx_size {
            kx -= p.kx_size;
            ky += 1u;
        }
        if ky >= p.ky_size {
            ky -= p.ky_size;
            k0 += 1u;
        }
        workgroupBarrier();
        // Written out, since drivers do not unroll loops that are guarded against running for ever.
        let first = part * TURN;
        eight(&sums, j, first, lane);
        if TURN > 8u {
            eight(&sums, j, first + 8u, lane);
        }
    }

    if SPLIT > 1u {
        sums.s0 = join(sums.s0, part, thread);
        if ROWS > 4u {
            sums.s1 = join(sums.s1, part, thread);
        }
        if ROWS > 8u {
            sums.s2 = join(sums.s2, part, thread);
        }
        if ROWS > 12u {
            sums.s3 = join(sums.s3, part, thread);
        }
    }
    if part == 0u && column < p.n {
        let plane = p.jy_size * p.jx_size;
        let at = g * p.c_group + j0 * p.c_j0 + last_column - j0 * plane;
        store_rows(at, row, sums.s0);
        if ROWS > 4u {
            store_rows(at, row + 4u, sums.s1);
        }
        if ROWS > 8u {
            store_rows(at, row + 8u, sums.s2);
        }
        if ROWS > 12u {
            store_rows(at, row + 12u, sums.s3);
        }
    }
}
