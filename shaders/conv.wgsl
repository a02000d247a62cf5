// Convolution (cross-correlation) and its two gradients, 1-D (height 1) and 2-D, as products with a gathered matrix:
//   c[g, i, j] = Σ_k w[g, i, k] · X[g, k, j].
// X is never stored: its element at (k, j) is one of `x`, or 0. With k = (k0, ky, kx) and j = (j0, jy, jx) it is
//   x[k0, j0, y, x] at y = ky·k_step.y + jy·j_step.y − pad.y (and the same for x) for a convolution, k0 = input channel,
//     (ky, kx) in its kernel, j0 = sample, (jy, jx) in its output; and for the weight's gradient, k0 = sample, (ky, kx) in
//     the output, j0 = input channel, (jy, jx) in the kernel;
//   x[k0, j0, y/SY, x/SX] at y = jy + pad.y − ky·k_step.y where SY divides y, for the input's gradient (also the transposed
//     convolution): k0 = output channel, (ky, kx) in the kernel, j0 = sample, (jy, jx) in the result. A tile holds only
//     positions (jy, jx) of one residue class modulo the stride: these meet the same kernel positions, every period-th
//     along an axis, and the others, which the stride rules out, are never visited.
//
// A thread computes ROWS rows of PER columns in registers, so an element of X, fetched once, feeds ROWS multiply-adds, and
// one of `w` PER.
// All threads of a workgroup read the same elements of `w`, from workgroup memory, where they come DEPTH at a time together
// with what k contributes to a position in `x`: nothing is divided inside the loops. SPLIT threads share a column, each
// with a part of the k, and add their sums in a fixed order: no atomics, so the result is the same bits every time.
//
// Layout: all dense, from offsets; strides say which axis is which, so one text serves the three passes.
// Bindings: 0 the sizes and strides, 1 `x`, 2 `w`, 3 `c`, and with ROW_SUMS 4 `row_sums`, dense from an offset.
// Constants:
//   COLUMNS     threads along columns; COLUMNS · SPLIT at most 256.
//   PER         1 or 2: columns a thread computes, COLUMNS apart.
//   SPLIT       threads that share a column: at most 16.
//   ROWS        rows a thread computes: 4, 8, 12 or 16.
//   TURN        k a thread visits between barriers: 4, 8 or 16, and a divisor of COLUMNS. DEPTH = TURN · SPLIT of them are
//               in workgroup memory: DEPTH · (4 · ROWS + 16) bytes, which with 16 bytes a thread is at most 16 KiB.
//   GATHER      how positions are found: 0 without padding, 1 with padding, 2 for the input's gradient (with or without).
//   SY, SX      the convolution's stride where GATHER is 2.
//   WIDE        1: entries of eight k are read by eight lanes of a subgroup each; needs subgroups of 8 or more, full ones, in
//               the order of the threads, and COLUMNS a multiple of 8. 0: every thread reads every entry.
//   DIRECT      1, with WIDE 1 and SPLIT 1: nothing is in workgroup memory; lanes read `w` themselves, a row or two each, and pass it
//               on, one k at a time. For where `w` is a uniform.
//   ROW_SUMS    1: row_sums[g, i] = Σ_k w[g, i, k] too, as the product with one more column of X that holds ones, so that
//               there are n + 1 columns. The weight's gradient gives the bias's this way.
//   EXTRA       vectors of four words at the end of the parameters, for a replaced region `store`: 1 or more.
//   T           the element type in memory: f32 or f16; sums are f32.
// Regions: `x` and `w` are replaced where an operand is read as a uniform (see `src/plan/window.rs`).
//   `store` writes one element of the result; every element goes through it once. `row_sums` is replaced by a
//   function that does nothing where ROW_SUMS is 0, and then nothing is bound for it.
// Bounds: rows beyond the last load as 0 and columns beyond the last repeat it; neither is stored. k beyond the last count
//   as 0 on both sides and read `x` where the column begins. A position outside `x` reads the first element instead and
//   counts as 0; those left of 0 wrap around to large u32, so one comparison rejects both sides. Workgroups beyond the last
//   tile do nothing.

const COLUMNS: u32 = 64u;
const PER: u32 = 1u;
const SPLIT: u32 = 1u;
const ROWS: u32 = 16u;
const TURN: u32 = 16u;
const GATHER: u32 = 1u;
const SY: u32 = 1u;
const SX: u32 = 1u;
const WIDE: u32 = 0u;
const DIRECT: u32 = 0u;
const THREADS: u32 = COLUMNS * SPLIT;
const DEPTH: u32 = TURN * SPLIT;
const ROW_SUMS: u32 = 0u;
const EXTRA: u32 = 1u;
alias T = f32;

struct Params {
    m: u32, n: u32, k: u32, groups: u32, tiles_m: u32, tiles_n: u32,
    // Strides of `w`: of a group, of a row, and of the three parts of k.
    w_offset: u32, w_group: u32, w_row: u32, w_k0: u32, w_ky: u32, w_kx: u32,
    // Strides of `x`: of a group and of k0 and j0; the sizes of its planes.
    x_offset: u32, x_group: u32, x_k0: u32, x_j0: u32, x_height: u32, x_width: u32,
    // Strides of `c`: of a group, of a row and of j0.
    c_offset: u32, c_group: u32, c_row: u32, c_j0: u32, pad_y: u32, pad_x: u32,
    // Sizes of the inner parts of k and j, and how far one of them moves in `x`.
    ky_size: u32, kx_size: u32, ky_step: u32, kx_step: u32, jy_size: u32, jx_size: u32, jy_step: u32, jx_step: u32,
    // DEPTH as parts of k.
    depth_k0: u32, depth_ky: u32, depth_kx: u32,
    // Where GATHER is 2: the kernel positions a residue class meets are this far apart.
    period_y: u32, period_x: u32, sums_offset: u32, unused1: u32, unused2: u32,
    // Words of a replaced region `store`.
    extra: array<vec4<u32>, EXTRA>,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read_write> c: array<T>;

// [x]
@group(0) @binding(1) var<storage, read> x: array<T>;
fn x_one(at: u32) -> f32 {
    return f32(x[at]);
}
// [end]

// [w]
@group(0) @binding(2) var<storage, read> w: array<T>;
fn w_one(at: u32) -> f32 {
    return f32(w[at]);
}
// [end]

// Four rows each, by k; later the sums of threads that share a column.
var<workgroup> w_tile: array<vec4<f32>, max(ROWS / 4u * DEPTH, THREADS)>;
// What k adds to a position: in memory, then along y and x.
var<workgroup> k_tile: array<vec4<u32>, DEPTH>;

// Four of four rows: sums, weights, or one of each of four rows.
struct Sums {
    s0: vec4<f32>,
    s1: vec4<f32>,
    s2: vec4<f32>,
    s3: vec4<f32>,
}

fn load_w(base: u32, row: u32, inside: bool) -> f32 {
    let here = inside & (row < p.m);
    return select(0.0, w_one(select(p.w_offset, base + row * p.w_row, here)), here);
}

fn load_w4(base: u32, row: u32, inside: bool) -> vec4<f32> {
    return vec4<f32>(
        load_w(base, row, inside),
        load_w(base, row + 1u, inside),
        load_w(base, row + 2u, inside),
        load_w(base, row + 3u, inside),
    );
}

// `j`: where the column starts in memory, then along y and x; last, whether it is the column of ones.
fn load_x(j: vec4<u32>, k: vec4<u32>) -> f32 {
    var at = j.x + k.x;
    var inside = k.w != 0u;
    if ROW_SUMS == 1u {
        inside = inside & (j.w == 0u);
    }
    if GATHER > 0u {
        let y = j.y + k.y;
        let z = j.z + k.z;
        inside = inside & (y < p.x_height) & (z < p.x_width);
        at = select(p.x_offset, at + y * p.x_width + z, inside);
    }
    let value = select(0.0, x_one(at), inside);
    if ROW_SUMS == 1u {
        return select(value, f32(k.w), j.w == 1u);
    }
    return value;
}

fn weights(k: u32) -> Sums {
    var all = Sums();
    all.s0 = w_tile[k];
    if ROWS > 4u {
        all.s1 = w_tile[DEPTH + k];
    }
    if ROWS > 8u {
        all.s2 = w_tile[2u * DEPTH + k];
    }
    if ROWS > 12u {
        all.s3 = w_tile[3u * DEPTH + k];
    }
    return all;
}

fn add(sums: ptr<function, Sums>, element: f32, all: Sums) {
    (*sums).s0 += element * all.s0;
    if ROWS > 4u {
        (*sums).s1 += element * all.s1;
    }
    if ROWS > 8u {
        (*sums).s2 += element * all.s2;
    }
    if ROWS > 12u {
        (*sums).s3 += element * all.s3;
    }
}

// One k for both columns, which start at `j` and `l`.
fn multiply(sums: ptr<function, Sums>, more: ptr<function, Sums>, j: vec4<u32>, l: vec4<u32>, k: vec4<u32>, all: Sums) {
    add(sums, load_x(j, k), all);
    if PER > 1u {
        add(more, load_x(l, k), all);
    }
}

// With WIDE 1 the region below is replaced: `fromI` gives the value that lane I of the subgroup has.
// [broadcast]
fn from0(v: vec4<u32>) -> vec4<u32> { return v; }
fn from1(v: vec4<u32>) -> vec4<u32> { return v; }
fn from2(v: vec4<u32>) -> vec4<u32> { return v; }
fn from3(v: vec4<u32>) -> vec4<u32> { return v; }
fn from4(v: vec4<u32>) -> vec4<u32> { return v; }
fn from5(v: vec4<u32>) -> vec4<u32> { return v; }
fn from6(v: vec4<u32>) -> vec4<u32> { return v; }
fn from7(v: vec4<u32>) -> vec4<u32> { return v; }
// [end]

fn bits(v: vec4<f32>) -> vec4<u32> { return bitcast<vec4<u32>>(v); }
fn floats(v: vec4<u32>) -> vec4<f32> { return bitcast<vec4<f32>>(v); }

// The next k: eight, or four where TURN is 4.
fn eight(sums: ptr<function, Sums>, more: ptr<function, Sums>, j: vec4<u32>, l: vec4<u32>, k: u32, lane: u32) {
    if WIDE == 1u {
        let w = weights(k + lane);
        let w0 = bits(w.s0);
        let w1 = bits(w.s1);
        let w2 = bits(w.s2);
        let w3 = bits(w.s3);
        let at = k_tile[k + lane];
        multiply(sums, more, j, l, from0(at), Sums(floats(from0(w0)), floats(from0(w1)), floats(from0(w2)), floats(from0(w3))));
        multiply(sums, more, j, l, from1(at), Sums(floats(from1(w0)), floats(from1(w1)), floats(from1(w2)), floats(from1(w3))));
        multiply(sums, more, j, l, from2(at), Sums(floats(from2(w0)), floats(from2(w1)), floats(from2(w2)), floats(from2(w3))));
        multiply(sums, more, j, l, from3(at), Sums(floats(from3(w0)), floats(from3(w1)), floats(from3(w2)), floats(from3(w3))));
        if TURN > 4u {
            multiply(sums, more, j, l, from4(at), Sums(floats(from4(w0)), floats(from4(w1)), floats(from4(w2)), floats(from4(w3))));
            multiply(sums, more, j, l, from5(at), Sums(floats(from5(w0)), floats(from5(w1)), floats(from5(w2)), floats(from5(w3))));
            multiply(sums, more, j, l, from6(at), Sums(floats(from6(w0)), floats(from6(w1)), floats(from6(w2)), floats(from6(w3))));
            multiply(sums, more, j, l, from7(at), Sums(floats(from7(w0)), floats(from7(w1)), floats(from7(w2)), floats(from7(w3))));
        }
    } else {
        multiply(sums, more, j, l, k_tile[k + 0u], weights(k + 0u));
        multiply(sums, more, j, l, k_tile[k + 1u], weights(k + 1u));
        multiply(sums, more, j, l, k_tile[k + 2u], weights(k + 2u));
        multiply(sums, more, j, l, k_tile[k + 3u], weights(k + 3u));
        if TURN > 4u {
            multiply(sums, more, j, l, k_tile[k + 4u], weights(k + 4u));
            multiply(sums, more, j, l, k_tile[k + 5u], weights(k + 5u));
            multiply(sums, more, j, l, k_tile[k + 6u], weights(k + 6u));
            multiply(sums, more, j, l, k_tile[k + 7u], weights(k + 7u));
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

fn join_all(sums: Sums, part: u32, thread: u32) -> Sums {
    var all = Sums();
    all.s0 = join(sums.s0, part, thread);
    if ROWS > 4u {
        all.s1 = join(sums.s1, part, thread);
    }
    if ROWS > 8u {
        all.s2 = join(sums.s2, part, thread);
    }
    if ROWS > 12u {
        all.s3 = join(sums.s3, part, thread);
    }
    return all;
}

// What a replaced region `store` declares.
// [extra]
// [end]

// [store]
// What a row's elements have in common, for `store`.
fn hold(row: u32) -> vec4<f32> {
    return vec4<f32>();
}

// `i` is the element's row-major number in the dense result, `at` is (j0, the row counted through all groups, (jy, jx)).
fn store(i: u32, at: vec3<u32>, held: vec4<f32>, value: f32) {
    c[p.c_offset + i] = T(value);
}
// [end]

// `hold` of four rows: with WIDE, lanes have a row each.
fn held_low(own: vec4<f32>, row: u32, last: u32) -> Sums {
    if WIDE == 1u {
        let v = bits(own);
        return Sums(floats(from0(v)), floats(from1(v)), floats(from2(v)), floats(from3(v)));
    }
    return Sums(hold(min(row, last)), hold(min(row + 1u, last)), hold(min(row + 2u, last)), hold(min(row + 3u, last)));
}

fn held_high(own: vec4<f32>, row: u32, last: u32) -> Sums {
    if WIDE == 1u {
        let v = bits(own);
        return Sums(floats(from4(v)), floats(from5(v)), floats(from6(v)), floats(from7(v)));
    }
    return held_low(own, row, last);
}

// [row_sums]
@group(0) @binding(4) var<storage, read_write> row_sums: array<T>;

fn store_sum(i: u32, value: f32) {
    row_sums[p.sums_offset + i] = T(value);
}
// [end]

// `at` is the first row's; `i` the number of the column's first element. Rows from `end` on are not stored.
fn store_rows(i: u32, at: vec3<u32>, row: u32, end: u32, held: Sums, values: vec4<f32>) {
    let one = vec3<u32>(0u, 1u, 0u);
    if row < end {
        store(i + row * p.c_row, at, held.s0, values.x);
    }
    if row + 1u < end {
        store(i + (row + 1u) * p.c_row, at + one, held.s1, values.y);
    }
    if row + 2u < end {
        store(i + (row + 2u) * p.c_row, at + 2u * one, held.s2, values.z);
    }
    if row + 3u < end {
        store(i + (row + 3u) * p.c_row, at + 3u * one, held.s3, values.w);
    }
}

fn store_sums(at: u32, row: u32, values: vec4<f32>) {
    if row < p.m {
        store_sum(at + row, values.x);
    }
    if row + 1u < p.m {
        store_sum(at + row + 1u, values.y);
    }
    if row + 2u < p.m {
        store_sum(at + row + 2u, values.z);
    }
    if row + 3u < p.m {
        store_sum(at + row + 3u, values.w);
    }
}

// One axis of the input's gradient as a residue class sees it.
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

// Where a column's elements begin.
struct Place {
    // In `x`, as `load_x` takes it.
    j: vec4<u32>,
    // In the result: j0 and the position.
    at: vec2<u32>,
    column: u32,
}

fn place(column: u32, columns: u32, g: u32, across: Axis, down: Axis, apart: vec2<u32>) -> Place {
    let last = min(column, max(columns, 1u) - 1u);
    let line = last / max(across.size, 1u);
    let jx = last - line * across.size;
    let j0 = line / max(down.size, 1u);
    let jy = line - j0 * down.size;
    var j = vec4<u32>(p.x_offset + g * p.x_group + j0 * p.x_j0, 0u, 0u, select(0u, 1u, column == columns));
    if GATHER == 0u {
        j.x += jy * p.jy_step * p.x_width + jx * p.jx_step;
    } else {
        j.y = jy * p.jy_step + down.base;
        j.z = jx * p.jx_step + across.base;
    }
    return Place(j, vec2<u32>(j0, (down.first + jy * apart.x) * p.jx_size + across.first + jx * apart.y), column);
}

// Stores four rows of a column, or, for the column after the last, their sums.
fn store_four(here: Place, columns: u32, g: u32, row: u32, held: Sums, sums: vec4<f32>) {
    // One comparison says whether to store: drivers that run threads in lanes look at it in each.
    let end = select(0u, p.m, here.column < columns && g < p.groups);
    let i = g * p.c_group + here.at.x * p.c_j0 + here.at.y;
    store_rows(i, vec3<u32>(here.at.x, g * p.m + row, here.at.y), row, end, held, sums);
    if (ROW_SUMS == 1u) & (here.column == columns) & (g < p.groups) {
        store_sums(g * p.m, row, sums);
    }
}

fn store_both(here: Place, there: Place, columns: u32, g: u32, row: u32, held: Sums, sums: vec4<f32>, more: vec4<f32>) {
    store_four(here, columns, g, row, held, sums);
    if PER > 1u {
        store_four(there, columns, g, row, held, more);
    }
}

// One of eight, of sixteen: chosen, not indexed, so that they stay in registers.
fn of_eight(low: vec4<f32>, high: vec4<f32>, k: u32) -> f32 {
    let four = select(low, high, (k & 4u) != 0u);
    let two = select(four.xy, four.zw, (k & 2u) != 0u);
    return select(two.x, two.y, (k & 1u) != 0u);
}

fn of_sixteen(all: Sums, k: u32) -> f32 {
    let high = k > 7u;
    return of_eight(select(all.s0, all.s2, high), select(all.s1, all.s3, high), k & 7u);
}

// What `hold` gave lane k of the first eight, for four of its words.
fn held_by(own: vec4<f32>, k: u32) -> vec4<f32> {
    let v = bits(own);
    let odd = (k & 1u) != 0u;
    let two = (k & 2u) != 0u;
    let low = select(select(from0(v), from1(v), odd), select(from2(v), from3(v), odd), two);
    let high = select(select(from4(v), from5(v), odd), select(from6(v), from7(v), odd), two);
    return floats(select(low, high, (k & 4u) != 0u));
}

// Stores a row of the thread's in one of its columns, or, for the column after the last, the row's sum.
fn store_one(here: Place, columns: u32, g: u32, row: u32, held: vec4<f32>, value: f32) {
    let inside = g < p.groups;
    if inside & (here.column < columns) {
        let i = g * p.c_group + here.at.x * p.c_j0 + here.at.y;
        store(i + row * p.c_row, vec3<u32>(here.at.x, g * p.m + row, here.at.y), held, value);
    }
    if (ROW_SUMS == 1u) & inside & (here.column == columns) {
        store_sum(g * p.m + row, value);
    }
}

// How a thread goes through the k where DIRECT is 1.
struct Walk {
    // Sizes of ky and kx, and how far one of them moves in `x`.
    size: vec2<u32>,
    step: vec2<u32>,
    // Strides of `w` along k0, ky and kx.
    apart: vec3<u32>,
    // Where the weights of this lane's row begin, and of the eighth after it; whether there are such rows.
    lines: vec2<u32>,
    real: vec2<bool>,
}

// One k for all rows: `at` says which it is along k0, ky and kx, and how many are left with it; the next comes back.
fn step(sums: ptr<function, Sums>, more: ptr<function, Sums>, j: vec4<u32>, l: vec4<u32>, at: vec4<u32>, walk: Walk) -> vec4<u32> {
    let inside = at.w > 0u;
    let first = at.x * walk.apart.x + at.y * walk.apart.y + at.z * walk.apart.z;
    let y = at.y * walk.step.x;
    let z = at.z * walk.step.y;
    let place = at.x * p.x_k0 + select(0u, y * p.x_width + z, GATHER == 0u);
    let entry = vec4<u32>(place, y, z, select(0u, 1u, inside));
    var w = vec2<f32>(w_one(select(p.w_offset, walk.lines.x + first, inside)), 0.0);
    if ROWS > 8u {
        w.y = w_one(select(p.w_offset, walk.lines.y + first, inside));
    }
    let v = bits(vec4<f32>(select(vec2<f32>(), w, vec2<bool>(inside) & walk.real), 0.0, 0.0));
    let v0 = floats(from0(v));
    let v1 = floats(from1(v));
    let v2 = floats(from2(v));
    let v3 = floats(from3(v));
    let v4 = floats(from4(v));
    let v5 = floats(from5(v));
    let v6 = floats(from6(v));
    let v7 = floats(from7(v));
    let all = Sums(
        vec4<f32>(v0.x, v1.x, v2.x, v3.x),
        vec4<f32>(v4.x, v5.x, v6.x, v7.x),
        vec4<f32>(v0.y, v1.y, v2.y, v3.y),
        vec4<f32>(v4.y, v5.y, v6.y, v7.y),
    );
    multiply(sums, more, j, l, entry, all);
    var next = at + vec4<u32>(0u, 0u, 1u, 0u);
    let line = next.z >= walk.size.y;
    next.z = select(next.z, 0u, line);
    next.y += select(0u, 1u, line);
    let plane = next.y >= walk.size.x;
    next.y = select(next.y, 0u, plane);
    next.x += select(0u, 1u, plane);
    next.w = max(at.w, 1u) - 1u;
    return next;
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let tile = workgroup.y * workgroups.x + workgroup.x;
    let row = tile % p.tiles_m * ROWS;
    // Residue classes before columns: they read the same, and unequal ones are spread over a device evenly.
    let residue = tile / p.tiles_m % (SX * SY);
    let first_column = tile / (p.tiles_m * SX * SY) % p.tiles_n * (COLUMNS * PER);
    let g = tile / (p.tiles_m * SX * SY * p.tiles_n);
    var across = Axis(0u, p.jx_size, 0u - p.pad_x, 0u, p.kx_size);
    var down = Axis(0u, p.jy_size, 0u - p.pad_y, 0u, p.ky_size);
    var terms = p.k;
    var columns = p.n;
    var apart = vec2<u32>(1u, 1u);
    var k_step = vec2<u32>(p.ky_step, p.kx_step);
    var k_apart = vec2<u32>(1u, 1u);
    // Parts of DEPTH: along k0, ky and kx.
    var depth = vec3<u32>(p.depth_k0, p.depth_ky, p.depth_kx);
    if GATHER == 2u {
        across = axis(residue % SX, SX, p.period_x, p.kx_step, p.pad_x, p.jx_size, p.kx_size);
        down = axis(residue / SX, SY, p.period_y, p.ky_step, p.pad_y, p.jy_size, p.ky_size);
        let window = down.k_size * across.k_size;
        terms = p.k / (p.kx_size * p.ky_size) * window;
        columns = p.n / (p.jx_size * p.jy_size) * down.size * across.size;
        apart = vec2<u32>(SY, SX);
        k_apart = vec2<u32>(p.period_y, p.period_x);
        // Backwards.
        k_step = vec2<u32>(0u - p.period_y * p.ky_step / SY, 0u - p.period_x * p.kx_step / SX);
        // A class that meets nothing has no terms; its sizes only must not be 0.
        across.k_size = max(across.k_size, 1u);
        down.k_size = max(down.k_size, 1u);
        depth = vec3<u32>(
            DEPTH / (down.k_size * across.k_size),
            DEPTH / across.k_size % down.k_size,
            DEPTH % across.k_size,
        );
    }
    // Workgroups without columns do nothing; not by leaving, which drivers that run threads in lanes remember in every `if`.
    let beyond = g >= p.groups || first_column >= columns + ROW_SUMS;
    terms = select(terms, 0u, beyond);
    let lane = thread % min(8u, TURN);
    let part = select(thread / COLUMNS, 0u, SPLIT == 1u);
    let column = first_column + select(thread % COLUMNS, thread, SPLIT == 1u);

    let here = place(column, columns, g, across, down, apart);
    let there = place(column + COLUMNS, columns, g, across, down, apart);

    // The k this thread brings to workgroup memory, counted from the tile's first, and its parts.
    let k = thread % DEPTH;
    let k_line = k / across.k_size;
    var kx = k - k_line * across.k_size;
    var k0 = k_line / down.k_size;
    var ky = k_line - k0 * down.k_size;
    let w_first = p.w_offset + g * p.w_group + down.k_first * p.w_ky + across.k_first * p.w_kx;
    let w_apart = k_apart * vec2<u32>(p.w_ky, p.w_kx);

    var sums = Sums();
    var more = Sums();
    if DIRECT == 1u {
        // A lane fetches the weights of its rows.
        let lane_row = row + thread % 8u;
        let lines = w_first + select(0u, lane_row, lane_row < p.m) * p.w_row;
        let lines8 = w_first + select(0u, lane_row + 8u, lane_row + 8u < p.m) * p.w_row;
        let walk = Walk(
            vec2<u32>(down.k_size, across.k_size),
            k_step,
            vec3<u32>(p.w_k0, w_apart),
            vec2<u32>(lines, lines8),
            vec2<bool>(lane_row < p.m, lane_row + 8u < p.m),
        );
        var at = vec4<u32>(0u, 0u, 0u, terms);
        for (var start = 0u; start < terms; start += 4u) {
            at = step(&sums, &more, here.j, there.j, at, walk);
            at = step(&sums, &more, here.j, there.j, at, walk);
            at = step(&sums, &more, here.j, there.j, at, walk);
            at = step(&sums, &more, here.j, there.j, at, walk);
        }
    }
    if DIRECT == 0u {
        for (var start = 0u; start < terms; start += DEPTH) {
            let inside = start + k < terms;
            let base = w_first + k0 * p.w_k0 + ky * w_apart.x + kx * w_apart.y;
            let y = ky * k_step.x;
            let z = kx * k_step.y;
            let at = k0 * p.x_k0 + select(0u, y * p.x_width + z, GATHER == 0u);
            let entry = select(vec4<u32>(), vec4<u32>(at, y, z, 1u), inside);
            kx += depth.z;
            ky += depth.y;
            k0 += depth.x;
            if kx >= across.k_size {
                kx -= across.k_size;
                ky += 1u;
            }
            if ky >= down.k_size {
                ky -= down.k_size;
                k0 += 1u;
            }
            if start > 0u {
                workgroupBarrier();
            }
            for (var r = thread / DEPTH; r < ROWS / 4u; r += THREADS / DEPTH) {
                w_tile[r * DEPTH + k] = load_w4(base, row + 4u * r, inside);
            }
            if thread < DEPTH {
                k_tile[k] = entry;
            }
            workgroupBarrier();
            // Eight k are written out: too long for drivers to do so.
            for (var first = 0u; first < TURN; first += 8u) {
                eight(&sums, &more, here.j, there.j, part * TURN + first, lane);
            }
        }
    }

    if SPLIT > 1u {
        sums = join_all(sums, part, thread);
        if PER > 1u {
            more = join_all(more, part, thread);
        }
    }
    // Rows counted through all groups; lanes fetch what one has, before threads part.
    let first_row = g * p.m + row;
    let last = g * p.m + p.m - 1u;
    let lane_row = first_row + thread % 8u;
    var own = vec4<f32>();
    var own8 = vec4<f32>();
    if WIDE == 1u {
        own = hold(min(lane_row, last));
        if ROWS > 8u {
            own8 = hold(min(lane_row + 8u, last));
        }
    }
    if DIRECT == 1u {
        // Written out once: a store is long text where something is done to the result. Counted from a row that drivers do
        // not know, else Mesa's write out all turns of a loop as short as this.
        for (var i = row * PER; i < min(row + ROWS, p.m) * PER; i += 1u) {
            let r = i / PER - row;
            let second = i % PER == 1u;
            var value = of_sixteen(sums, r);
            if PER > 1u {
                value = select(value, of_sixteen(more, r), second);
            }
            let place = Place(here.j, select(here.at, there.at, second), select(here.column, there.column, second));
            store_one(place, columns, g, row + r, held_by(select(own, own8, r > 7u), r & 7u), value);
        }
        return;
    }
    let held0 = held_low(own, first_row, last);
    let held1 = held_high(own, first_row + 4u, last);
    let held2 = held_low(own8, first_row + 8u, last);
    let held3 = held_high(own8, first_row + 12u, last);
    if part == 0u {
        store_both(here, there, columns, g, row, held0, sums.s0, more.s0);
        if ROWS > 4u {
            store_both(here, there, columns, g, row + 4u, held1, sums.s1, more.s1);
        }
        if ROWS > 8u {
            store_both(here, there, columns, g, row + 8u, held2, sums.s2, more.s2);
        }
        if ROWS > 12u {
            store_both(here, there, columns, g, row + 12u, held3, sums.s3, more.s3);
        }
    }
}
