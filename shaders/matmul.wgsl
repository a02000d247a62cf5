// Batched matmul: c[z, i, j] = Σ_k a[z, i, k] · b[z, k, j].
//
// Where the elements of `a`, `b` and `c` stand is said by a file joined to this one: `matmul_views.wgsl`, or
// `conv_blocks.wgsl` for convolutions. It declares the parameters, `Operands`, `operands`, `Lines`, `lines_a`, `lines_b`,
// `block_a`, `block_b` and `quad`.
// A thread computes 4·R rows by 4·R columns in registers, a workgroup 4·R·TY by 4·R·TX. Tiles of `a` and `b` go through
// workgroup memory as vectors of four rows and four columns, so a step of k costs a thread 2·R vector loads and 16·R·R
// multiply-adds. They come as blocks of four by four, at most two a thread. A thread reads the blocks of the next tile
// while it computes with this one; with two buffers it stores them in the other one, and an iteration has one barrier.
// Workgroups are numbered in bands of BAND tiles of rows, so that those that run at the same time read the same rows
// and columns from the cache. SPLIT parts of a workgroup share its elements, each with a part of the k, and add their
// sums in a fixed order: for few rows and columns and many k. Where even so the workgroups are too few to fill a GPU, k
// is cut into parts for different workgroups (split-k): `c` and `row_sums` get a result for each part, and another
// dispatch adds them.
//
// Layout and bindings: 0 the sizes; 3 `c`; with ROW_SUMS 4 `row_sums`, dense from an offset, [parts, batches, m]; for `a`,
//   `b` and `c` see the joined file.
// Constants:
//   TX, TY     threads along columns and rows.
//   R          1 or 2: a thread's vectors along rows, and along columns.
//   BK         k of a tile a part computes with: 4, 8, 16 or 32.
//   SPLIT      parts: TX·TY·SPLIT threads, at most 256; 1 where R is 2.
//   BUFFERS    1 or 2: tiles in workgroup memory.
//   PAD        vectors after the four-row vectors of one k, so that threads that store neighbouring k of `a` use different
//              banks of workgroup memory. BUFFERS·((TX + TY)·R + PAD)·BK·SPLIT·16 bytes of it in all, at least 32 a
//              thread where SPLIT is not 1; (TX + TY)·R·BK at most 8·TX·TY.
//   A_BY_K     1: neighbouring threads read neighbouring k of `a`; 0: neighbouring rows.
//   B_BY_K     1: neighbouring threads read neighbouring k of `b`; 0: neighbouring columns.
//   C_VECTOR   1: four columns of `c` are one aligned vector, and C is a vector of four: the number of columns and the
//              offset are multiples of 4; the region `store` is replaced. 0: C is a scalar.
//   ROW_SUMS   1: row_sums[z, i] = Σ_k a[z, i, k] too, by the workgroups of the first columns.
//   EXTRA      vectors of four words at the end of the parameters, for a replaced region `store`: 1 or more.
//   C, S       the element types of `c` and of `row_sums` in memory: f32 or f16, and C also vectors of four. Sums are f32.
// Regions: `store` writes one element of the result; every element, or with C_VECTOR every four, goes through it once.
//   `row_sums` is replaced by a function that does nothing where ROW_SUMS is 0, and then nothing is bound for it.
// Bounds: rows, columns and k beyond the matrices count as 0 in blocks; they are not stored; workgroups beyond the last
//   tile do nothing. k = 0 gives zeros and reads nothing. A part begins at a multiple of DEPTH, so that no tile reaches
//   into the next part, and a part beyond the last k is zeros. `tile` is as large as its two parts, in which `place` and
//   `four` stay by TX, TY, R and DEPTH.

const TX: u32 = 16u;
const TY: u32 = 16u;
const R: u32 = 2u;
const BK: u32 = 16u;
const SPLIT: u32 = 1u;
const BUFFERS: u32 = 1u;
const PAD: u32 = 0u;
const A_BY_K: u32 = 1u;
const B_BY_K: u32 = 0u;
const C_VECTOR: u32 = 0u;
const ROW_SUMS: u32 = 0u;
const EXTRA: u32 = 1u;
const PART: u32 = TX * TY;
const THREADS: u32 = PART * SPLIT;
const DEPTH: u32 = BK * SPLIT;
const BAND: u32 = 8u;
// Vectors of a tile at one k, and blocks of four by four.
const YS: u32 = TY * R;
const XS: u32 = TX * R;
// Where the vectors of `a` at the next k stand, and the vectors of a buffer.
const A_NEXT: u32 = YS + PAD;
const BUFFER: u32 = DEPTH * (A_NEXT + XS);
const A_BLOCKS: u32 = YS * DEPTH / 4u;
const BLOCKS: u32 = A_BLOCKS + XS * DEPTH / 4u;
alias C = f32;
alias S = f32;

// [outside]
struct Params {
    m: u32,
    tiles_m: u32,
    tiles_n: u32,
    batches: u32,
    c_offset: u32,
    sums_offset: u32,
    parts: u32,
    part_k: u32,
    extra: array<vec4<u32>, EXTRA>,
}
struct Operands { k: u32 }
fn operands(z: u32) -> Operands { return Operands(); }
struct Lines { at: vec4<u32> }
fn lines_a(both: Operands, row: u32) -> Lines { return Lines(); }
fn lines_b(both: Operands, column: u32) -> Lines { return Lines(); }
fn block_a(both: Operands, lines: Lines, k: u32) -> mat4x4<f32> { return mat4x4<f32>(); }
fn block_b(both: Operands, lines: Lines, k: u32) -> mat4x4<f32> { return mat4x4<f32>(); }
struct Quad { count: u32, i: u32, row: u32, next: u32, at: vec3<u32>, along: vec3<u32> }
fn quad(both: Operands, unit: u32, column: u32) -> Quad { return Quad(); }
// [end]

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read_write> c: array<C>;

// `a` as [k][four rows], then `b` as [k][four columns]; at the end the sums of the parts.
var<workgroup> tile: array<vec4<f32>, BUFFERS * BUFFER>;

// Of a block of the joined file: columns that are not inside count as 0.
fn masked(block: mat4x4<f32>, inside: vec4<bool>) -> mat4x4<f32> {
    return mat4x4<f32>(
        select(vec4<f32>(), block[0], inside.x),
        select(vec4<f32>(), block[1], inside.y),
        select(vec4<f32>(), block[2], inside.z),
        select(vec4<f32>(), block[3], inside.w),
    );
}

// A thread's first block is number `thread`, its second one, if it has one, THREADS further. Constants decide what they
// can, so that drivers need not keep what a thread never loads.
fn has_block(thread: u32, second: u32) -> bool {
    return BLOCKS >= (second + 1u) * THREADS || (BLOCKS > second * THREADS && thread + second * THREADS < BLOCKS);
}

// Whether the block is one of `a`.
fn is_a(thread: u32, second: u32) -> bool {
    return select(thread + second * THREADS < A_BLOCKS, second == 0u, A_BLOCKS == THREADS);
}

// Where a block of a tile stands: its vector, its first k, and where it begins in `tile`.
struct Place {
    vector: u32,
    k: u32,
    at: u32,
}

fn place(thread: u32, second: u32) -> Place {
    let q = thread + second * THREADS;
    if is_a(thread, second) {
        let k = 4u * select(q / YS, q % (DEPTH / 4u), A_BY_K == 1u);
        let y = select(q % YS, q / (DEPTH / 4u), A_BY_K == 1u);
        return Place(y, k, k * A_NEXT + y);
    }
    let r = q - A_BLOCKS;
    let k = 4u * select(r / XS, r % (DEPTH / 4u), B_BY_K == 1u);
    let x = select(r % XS, r / (DEPTH / 4u), B_BY_K == 1u);
    return Place(x, k, DEPTH * A_NEXT + k * XS + x);
}

// The rows or columns of a block, found once.
fn lines(thread: u32, second: u32, both: Operands, first: vec2<u32>) -> Lines {
    let vector = place(thread, second).vector;
    if is_a(thread, second) {
        return lines_a(both, first.x + 4u * vector);
    }
    return lines_b(both, first.y + 4u * vector);
}

fn load(thread: u32, second: u32, both: Operands, lines: Lines, start: u32) -> mat4x4<f32> {
    let k = start + place(thread, second).k;
    if is_a(thread, second) {
        return block_a(both, lines, k);
    }
    return block_b(both, lines, k);
}

// Stores a block in the buffer that begins at `buffer`.
fn keep(thread: u32, second: u32, buffer: u32, block: mat4x4<f32>) {
    let at = buffer + place(thread, second).at;
    let next = select(XS, A_NEXT, is_a(thread, second));
    tile[at] = block[0];
    tile[at + next] = block[1];
    tile[at + 2u * next] = block[2];
    tile[at + 3u * next] = block[3];
}

fn keep_both(thread: u32, buffer: u32, block0: mat4x4<f32>, block1: mat4x4<f32>) {
    if has_block(thread, 0u) {
        keep(thread, 0u, buffer, block0);
    }
    if has_block(thread, 1u) {
        keep(thread, 1u, buffer, block1);
    }
}

struct Sums {
    r0: vec4<f32>,
    r1: vec4<f32>,
    r2: vec4<f32>,
    r3: vec4<f32>,
}

fn multiply(sums: Sums, left: vec4<f32>, right: vec4<f32>) -> Sums {
    return Sums(
        fma(vec4<f32>(left.x), right, sums.r0),
        fma(vec4<f32>(left.y), right, sums.r1),
        fma(vec4<f32>(left.z), right, sums.r2),
        fma(vec4<f32>(left.w), right, sums.r3),
    );
}

// What a thread computes: by its vectors along rows, then along columns; and the sums of its rows of `a`.
struct All {
    s00: Sums,
    s01: Sums,
    s10: Sums,
    s11: Sums,
    rows0: vec4<f32>,
    rows1: vec4<f32>,
}

// One k: `y` and `x` say where its vectors stand.
fn step(all: ptr<function, All>, y: u32, x: u32) {
    let left0 = tile[y];
    let right0 = tile[x];
    (*all).s00 = multiply((*all).s00, left0, right0);
    if ROW_SUMS == 1u {
        (*all).rows0 += left0;
    }
    if R > 1u {
        let left1 = tile[y + TY];
        let right1 = tile[x + TX];
        (*all).s01 = multiply((*all).s01, left0, right1);
        (*all).s10 = multiply((*all).s10, left1, right0);
        (*all).s11 = multiply((*all).s11, left1, right1);
        if ROW_SUMS == 1u {
            (*all).rows1 += left1;
        }
    }
}

// Four k, written out, since drivers do not unroll loops that are guarded against running for ever.
fn four(all: ptr<function, All>, y: u32, x: u32, k: u32) {
    step(all, y + k * A_NEXT, x + k * XS);
    step(all, y + (k + 1u) * A_NEXT, x + (k + 1u) * XS);
    step(all, y + (k + 2u) * A_NEXT, x + (k + 2u) * XS);
    step(all, y + (k + 3u) * A_NEXT, x + (k + 3u) * XS);
}

// Adds the sums of the parts, two of a thread's at a time; the first part gets the results.
struct Both {
    x: vec4<f32>,
    y: vec4<f32>,
}

fn join(x: vec4<f32>, y: vec4<f32>, thread: u32) -> Both {
    workgroupBarrier();
    tile[thread] = x;
    tile[THREADS + thread] = y;
    workgroupBarrier();
    var total = Both(x, y);
    if thread < PART {
        for (var other = thread + PART; other < THREADS; other += PART) {
            total.x += tile[other];
            total.y += tile[THREADS + other];
        }
    }
    return total;
}

// What a replaced region `store` declares.
// [extra]
// [end]

// [store]
// `i` is the element's row-major number in the dense result, `at` its coordinates, as the joined file gives them; with
// C_VECTOR `store4` is called instead.
fn store(i: u32, at: vec3<u32>, value: f32) {
    c[p.c_offset + i] = C(value);
}

fn store4(i: u32, at: vec3<u32>, values: vec4<f32>) {
}
// [end]

// [row_sums]
@group(0) @binding(4) var<storage, read_write> row_sums: array<S>;

fn store_sum(i: u32, value: f32) {
    row_sums[p.sums_offset + i] = S(value);
}
// [end]

fn store_row(columns: Quad, row: u32, values: vec4<f32>) {
    if (row < p.m) & (columns.count > 0u) {
        let i = columns.i + row * columns.row;
        let at = columns.at + vec3<u32>(0u, row, 0u);
        if C_VECTOR == 1u {
            store4(i, at, values);
            return;
        }
        store(i, at, values.x);
        if columns.count > 1u {
            store(i + columns.next, at + columns.along, values.y);
        }
        if columns.count > 2u {
            store(i + 2u * columns.next, at + 2u * columns.along, values.z);
        }
        if columns.count > 3u {
            store(i + 3u * columns.next, at + 3u * columns.along, values.w);
        }
    }
}

fn store_rows(columns: Quad, row: u32, sums: Sums) {
    store_row(columns, row, sums.r0);
    store_row(columns, row + 1u, sums.r1);
    store_row(columns, row + 2u, sums.r2);
    store_row(columns, row + 3u, sums.r3);
}

fn store_sums(base: u32, row: u32, values: vec4<f32>) {
    if row < p.m {
        store_sum(base + row, values.x);
    }
    if row + 1u < p.m {
        store_sum(base + row + 1u, values.y);
    }
    if row + 2u < p.m {
        store_sum(base + row + 2u, values.z);
    }
    if row + 3u < p.m {
        store_sum(base + row + 3u, values.w);
    }
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let number = group.y * groups.x + group.x;
    // Down the rows of a band, then along the columns.
    let inside = number % (p.tiles_n * p.tiles_m);
    let band = inside / (BAND * p.tiles_n) * BAND;
    let height = min(BAND, p.tiles_m - band);
    let in_band = inside - band * p.tiles_n;
    let first_column = in_band / height * (4u * XS);
    let first_row = (band + in_band % height) * (4u * YS);
    // One part of k of one matrix of the batch.
    let unit = number / (p.tiles_n * p.tiles_m);
    if unit >= p.batches * p.parts {
        return;
    }
    let z = unit % p.batches;
    let both = operands(z);
    let first_k = unit / p.batches * p.part_k;
    let end = min(first_k + p.part_k, both.k);
    let first = vec2<u32>(first_row, first_column);
    let part = thread / PART;
    let tx = thread % TX;
    let ty = thread % PART / TX;
    var all = All();
    let lines0 = lines(thread, 0u, both, first);
    let lines1 = lines(thread, 1u, both, first);
    var block0 = mat4x4<f32>();
    var block1 = mat4x4<f32>();
    if first_k < end {
        if has_block(thread, 0u) {
            block0 = load(thread, 0u, both, lines0, first_k);
        }
        if has_block(thread, 1u) {
            block1 = load(thread, 1u, both, lines1, first_k);
        }
    }
    var buffer = 0u;
    if BUFFERS == 2u {
        keep_both(thread, 0u, block0, block1);
        workgroupBarrier();
    }
    for (var start = first_k; start < end; start += DEPTH) {
        if BUFFERS == 1u {
            keep_both(thread, 0u, block0, block1);
            workgroupBarrier();
        }
        if start + DEPTH < end {
            if has_block(thread, 0u) {
                block0 = load(thread, 0u, both, lines0, start + DEPTH);
            }
            if has_block(thread, 1u) {
                block1 = load(thread, 1u, both, lines1, start + DEPTH);
            }
        }
        let y = buffer + part * BK * A_NEXT + ty;
        let x = buffer + DEPTH * A_NEXT + part * BK * XS + tx;
        four(&all, y, x, 0u);
        if BK > 4u {
            four(&all, y, x, 4u);
        }
        if BK > 8u {
            four(&all, y, x, 8u);
            four(&all, y, x, 12u);
        }
        if BK > 16u {
            four(&all, y, x, 16u);
            four(&all, y, x, 20u);
            four(&all, y, x, 24u);
            four(&all, y, x, 28u);
        }
        if BUFFERS == 2u {
            buffer = BUFFER - buffer;
            keep_both(thread, buffer, block0, block1);
        }
        workgroupBarrier();
    }
    if SPLIT > 1u {
        let above = join(all.s00.r0, all.s00.r1, thread);
        let below = join(all.s00.r2, all.s00.r3, thread);
        all.s00 = Sums(above.x, above.y, below.x, below.y);
        if ROW_SUMS == 1u {
            all.rows0 = join(all.rows0, vec4<f32>(), thread).x;
        }
    }
    if part > 0u {
        return;
    }
    let row = first_row + 4u * ty;
    let column = first_column + 4u * tx;
    let near = quad(both, unit, column);
    store_rows(near, row, all.s00);
    if R > 1u {
        let far = quad(both, unit, column + 4u * TX);
        store_rows(far, row, all.s01);
        store_rows(near, row + 4u * TY, all.s10);
        store_rows(far, row + 4u * TY, all.s11);
    }
    if (ROW_SUMS == 1u) & (column == 0u) {
        store_sums(unit * p.m, row, all.rows0);
        if R > 1u {
            store_sums(unit * p.m, row + 4u * TY, all.rows1);
        }
    }
}
