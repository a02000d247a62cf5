// Convolution (cross-correlation) and its two gradients, 1-D (height 1) and 2-D, as matmuls with a gathered matrix:
//   c[g, i, j] = Σ_k w[g, i, k] · X[g, k, j].
// X is never stored: its element at (k, j) is one of `x`, or 0. With k = (k0, ky, kx) and j = (j0, jy, jx) it is
//   x[k0, j0, y, x] at y = ky·k_step.y + jy·j_step.y − pad.y (and the same for x) for a convolution, k0 = input channel,
//     (ky, kx) in its kernel, j0 = sample, (jy, jx) in its output; and for the weight's gradient, k0 = sample, (ky,
//     kx) in the output, j0 = input channel, (jy, jx) in the kernel;
//   x[k0, j0, y/SY, x/SX] at y = jy + pad.y − ky·k_step.y where SY divides y, for the input's gradient (also the transposed
//     convolution): k0 = output channel, (ky, kx) in the kernel, j0 = sample, (jy, jx) in the result. A tile holds only
//     positions (jy, jx) of one residue class modulo the stride: these meet the same kernel positions, every period-th
//     along an axis, and the others, which the stride rules out, are never visited.
//
// A thread computes ROWS rows of PER columns in registers, so an element of X, fetched once, feeds ROWS
// multiply-adds, and one of `w` PER.
// All threads of a workgroup read the same elements of `w`, from workgroup memory, where they come DEPTH at a time
// together with what k contributes to a position in `x`: nothing is divided inside the loops. SPLIT threads share a
// column, each with a part of the k, and add their sums in a fixed order: no atomics, so the result is the same bits
// every time. Where the workgroups of a weight's gradient are too few to fill a GPU, k is also cut into parts for
// different workgroups (split-k): `c` and `row_sums` get a result for each part, and another dispatch adds them.
//
// Layout: all dense, from offsets; strides say which axis is which, so one text serves the three passes.
// Bindings: 0 the sizes and strides, 1 `x`, 2 `w`, 3 `c`, and with ROW_SUMS 4 `row_sums`, dense from an offset.
// Constants:
//   COLUMNS     threads along columns; COLUMNS · SPLIT at most 256.
//   PER         1 or 2: columns a thread computes, COLUMNS apart.
//   SPLIT       threads that share a column: at most 16.
//   ROWS        rows a thread computes: 4, 8, 12 or 16.
//   BK          k a thread visits between barriers: 4, 8 or 16, and a divisor of COLUMNS. DEPTH = BK · SPLIT of them
//               are in workgroup memory: DEPTH · (4 · ROWS + 16) bytes, which with 16 bytes a thread is at most 16 KiB.
//   GATHER      how positions are found: 0 without padding, 1 with padding, 2 for the input's gradient (with or
//               without).
//   SY, SX      the convolution's stride where GATHER is 2.
//   WIDE        1: entries of eight k are read by eight lanes of a subgroup each; needs subgroups of 8 or more, full
//               ones, in the order of the threads, and COLUMNS a multiple of 8. 0: every thread reads every entry.
//   DIRECT      1, with WIDE 1 and SPLIT 1: nothing is in workgroup memory; lanes read `w` themselves, a row or two
//               each, and pass it on, one k at a time. For where `w` is a uniform.
//   ROW_SUMS    1: row_sums[g, i] = Σ_k w[g, i, k] too, as the matmul with one more column of X that holds ones, so
//               that there are n + 1 columns. The weight's gradient gives the bias's this way.
//   EXTRA       vectors of four words at the end of the parameters, for a replaced region `store`: 1 or more.
//   T, C, S     the element types of the operands, of `c` and of `row_sums` in memory: f32 or f16; sums are f32.
// Regions: `x` and `w` are replaced where an operand is read as a uniform (see `src/wgsl/window.rs`).
//   `store` writes one element of the result; every element goes through it once. `row_sums` is replaced by a
//   function that does nothing where ROW_SUMS is 0, and then nothing is bound for it.
// Bounds: rows beyond the last load as 0 and columns beyond the last repeat it; neither is stored. k beyond the last
//   count as 0 on both sides and read `x` where the column begins. A position outside `x` reads the first element
//   instead and counts as 0; those left of 0 wrap around to large u32, so one comparison rejects both sides.
//   Workgroups beyond the last tile do nothing. The rows and sums of a part stand after those of the parts before it.

const COLUMNS: u32 = 64u;
const PER: u32 = 1u;
const SPLIT: u32 = 1u;
const ROWS: u32 = 16u;
const BK: u32 = 16u;
const GATHER: u32 = 1u;
const SY: u32 = 1u;
const SX: u32 = 1u;
const WIDE: u32 = 0u;
const DIRECT: u32 = 0u;
const THREADS: u32 = COLUMNS * SPLIT;
const DEPTH: u32 = BK * SPLIT;
const ROW_SUMS: u32 = 0u;
const EXTRA: u32 = 1u;
alias T = f32;
alias C = f32;
alias S = f32;

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
    period_y: u32, period_x: u32, sums_offset: u32,
    // Parts of k for different workgroups, and the k of each but the last.
    parts: u32, part_k: u32,
    // Words of a replaced region `store`.
    extra: array<vec4<u32>, EXTRA>,
}

@group(0) @binding(0) var<uniform> p: Params;

// [outside]
var<workgroup> w_tile: array<vec4<f32>, ROWS / 4u * DEPTH>;
var<workgroup> k_tile: array<vec4<u32>, DEPTH>;

struct Sums { s0: vec4<f32>, s1: vec4<f32>, s2: vec4<f32>, s3: vec4<f32> }
struct Axis { first: u32, size: u32, base: u32, k_first: u32, k_size: u32 }
struct Place { j: vec4<u32>, at: vec2<u32>, column: u32 }
struct Walk { size: vec2<u32>, step: vec2<u32>, apart: vec3<u32>, lines: vec2<u32>, real: vec2<bool> }

fn axis(residue: u32, stride: u32, period: u32, dilation: u32, pad: u32, size: u32, k_size: u32) -> Axis { return Axis(); }
fn place(column: u32, columns: u32, g: u32, across: Axis, down: Axis, apart: vec2<u32>) -> Place { return Place(); }
fn eight(sums: ptr<function, Sums>, more: ptr<function, Sums>, j: vec4<u32>, l: vec4<u32>, k: u32, lane: u32) {}
fn join_all(sums: Sums, part: u32, thread: u32) -> Sums { return Sums(); }
fn hold(row: u32) -> vec4<f32> { return vec4<f32>(); }
fn held_low(own: vec4<f32>, row: u32, last: u32) -> Sums { return Sums(); }
fn held_high(own: vec4<f32>, row: u32, last: u32) -> Sums { return Sums(); }
fn held_by(own: vec4<f32>, k: u32) -> vec4<f32> { return vec4<f32>(); }
fn of_sixteen(all: Sums, k: u32) -> f32 { return f32(); }
fn store_both(here: Place, there: Place, columns: u32, unit: u32, row: u32, held: Sums, sums: vec4<f32>, more: vec4<f32>) {}
fn store_one(here: Place, columns: u32, unit: u32, row: u32, held: vec4<f32>, value: f32) {}
fn step(sums: ptr<function, Sums>, more: ptr<function, Sums>, j: vec4<u32>, l: vec4<u32>, at: vec4<u32>, walk: Walk) -> vec4<u32> { return vec4<u32>(); }
// [end]

// [w]
@group(0) @binding(2) var<storage, read> w: array<T>;
fn w_one(at: u32) -> f32 {
    return f32(w[at]);
}
// [end]

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
    // One part of k of one group.
    let unit = tile / (p.tiles_m * SX * SY * p.tiles_n);
    let g = unit % p.groups;
    let first_k = unit / p.groups * p.part_k;
    var across = Axis(0u, p.jx_size, 0u - p.pad_x, 0u, p.kx_size);
    var down = Axis(0u, p.jy_size, 0u - p.pad_y, 0u, p.ky_size);
    var terms = min(first_k + p.part_k, p.k);
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
    // Workgroups without columns do nothing; not by leaving, which drivers that run threads in lanes remember in
    // every `if`.
    let beyond = unit >= p.groups * p.parts || first_column >= columns + ROW_SUMS;
    terms = select(terms, 0u, beyond);
    let lane = thread % min(8u, BK);
    let part = select(thread / COLUMNS, 0u, SPLIT == 1u);
    let column = first_column + select(thread % COLUMNS, thread, SPLIT == 1u);

    let here = place(column, columns, g, across, down, apart);
    let there = place(column + COLUMNS, columns, g, across, down, apart);

    // The k this thread brings to workgroup memory, counted from the tile's first, and its parts.
    let k = thread % DEPTH;
    let k_line = (first_k + k) / across.k_size;
    var kx = first_k + k - k_line * across.k_size;
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
        for (var start = first_k; start < terms; start += DEPTH) {
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
            if start > first_k {
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
            for (var first = 0u; first < BK; first += 8u) {
                eight(&sums, &more, here.j, there.j, part * BK + first, lane);
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
    let first_row = unit * p.m + row;
    let last = unit * p.m + p.m - 1u;
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
        // Written out once: a store is long text where something is done to the result. Counted from a row that
        // drivers do not know, else Mesa's unroll a loop as short as this.
        for (var i = row * PER; i < min(row + ROWS, p.m) * PER; i += 1u) {
            let r = i / PER - row;
            let second = i % PER == 1u;
            var value = of_sixteen(sums, r);
            if PER > 1u {
                value = select(value, of_sixteen(more, r), second);
            }
            let place = Place(here.j, select(here.at, there.at, second), select(here.column, there.column, second));
            store_one(place, columns, unit, row + r, held_by(select(own, own8, r > 7u), r & 7u), value);
        }
        return;
    }
    let held0 = held_low(own, first_row, last);
    let held1 = held_high(own, first_row + 4u, last);
    let held2 = held_low(own8, first_row + 8u, last);
    let held3 = held_high(own8, first_row + 12u, last);
    if part == 0u {
        store_both(here, there, columns, unit, row, held0, sums.s0, more.s0);
        if ROWS > 4u {
            store_both(here, there, columns, unit, row + 4u, held1, sums.s1, more.s1);
        }
        if ROWS > 8u {
            store_both(here, there, columns, unit, row + 8u, held2, sums.s2, more.s2);
        }
        if ROWS > 12u {
            store_both(here, there, columns, unit, row + 12u, held3, sums.s3, more.s3);
        }
    }
}
