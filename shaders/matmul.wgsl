// Batched matmul: c[z, i, j] = Σ_k a[z, i, k] · b[z, k, j].
//
// A thread computes 4·R rows by 4·R columns in registers, a workgroup 4·R·TY by 4·R·TX. Tiles of `a` and `b` go through
// workgroup memory as vectors of four rows and four columns, so a step of k costs a thread 2·R vector loads and 16·R·R
// multiply-adds. They come as blocks of four by four, at most two a thread, and a thread holds those of the next tile
// in registers while it computes with this one. SPLIT parts of a workgroup share its elements, each with a part of
// the k, and add their sums in a fixed order: for few rows and columns and many k. Where even so the workgroups are
// too few to fill a GPU, k is cut into parts for different workgroups (split-k): `c` and `row_sums` get a result for
// each part, and another dispatch adds them.
//
// Layout: `a` and `b` are any views (an offset, a row and a column stride, four batch strides; strides may be zero or
//   negative and wrap around in u32); `c` is dense from an offset, [parts, batches, m, n].
// Bindings: 0 the sizes and strides, 1 `a`, 2 `b`, 3 `c`, and with ROW_SUMS 4 `row_sums`, dense from an offset,
//   [parts, batches, m].
// Constants:
//   TX, TY     threads along columns and rows.
//   R          1 or 2: a thread's vectors along rows, and along columns.
//   BK         k of a tile a part computes with: a multiple of 4.
//   SPLIT      parts: TX·TY·SPLIT threads, at most 256; 1 where R is 2. (TX + TY)·R·BK·SPLIT·16 bytes of workgroup
//              memory, at most 16 KiB and at least 16 a thread where SPLIT is not 1; (TX + TY)·R·BK at most 8·TX·TY.
//   A_VECTOR   1: four k of `a` are one aligned vector, and A is a vector of four: its column stride is 1, and k, the
//              offset and all other strides are multiples of 4. 2: the same for four rows. 0: A is a scalar.
//   B_VECTOR   the same for four columns of `b` (1) or four k of it (2).
//   A_BY_K     1: neighbouring threads read neighbouring k of `a`; 0: neighbouring rows.
//   B_BY_K     1: neighbouring threads read neighbouring k of `b`; 0: neighbouring columns.
//   C_VECTOR   1: four columns of `c` are one aligned vector, and C is a vector of four: n and the offset are
//              multiples of 4; the region `store` is replaced. 0: C is a scalar.
//   ROW_SUMS   1: row_sums[z, i] = Σ_k a[z, i, k] too, by the workgroups of the first columns.
//   EXTRA      vectors of four words at the end of the parameters, for a replaced region `store`: 1 or more.
//   A, B, C    the element types of `a`, `b` and `c` in memory: f32 or f16, or vectors of four. Sums are f32.
//   T, S       the element types of the operands, and of `row_sums`: f32 or f16.
// Regions: `store` writes one element of the result; every element, or with C_VECTOR every four, goes through it once.
//   `row_sums` is replaced by a function that does nothing where ROW_SUMS is 0, and then nothing is bound for it.
// Bounds: rows, columns and k beyond the matrices count as 0 and read the first element of the matrix instead; they
//   are not stored; workgroups beyond the last tile do nothing. A vector lies within the view where its first element
//   does, by the multiples of 4 above. k = 0 gives zeros and reads nothing. A part begins at a multiple of DEPTH, so
//   that no tile reaches into the next part, and a part beyond the last k is zeros.

const TX: u32 = 16u;
const TY: u32 = 16u;
const R: u32 = 2u;
const BK: u32 = 16u;
const SPLIT: u32 = 1u;
const A_VECTOR: u32 = 0u;
const B_VECTOR: u32 = 0u;
const A_BY_K: u32 = 1u;
const B_BY_K: u32 = 0u;
const C_VECTOR: u32 = 0u;
const ROW_SUMS: u32 = 0u;
const EXTRA: u32 = 1u;
const PART: u32 = TX * TY;
const THREADS: u32 = PART * SPLIT;
const DEPTH: u32 = BK * SPLIT;
// Vectors of a tile at one k, and blocks of four by four.
const YS: u32 = TY * R;
const XS: u32 = TX * R;
const A_BLOCKS: u32 = YS * DEPTH / 4u;
const BLOCKS: u32 = A_BLOCKS + XS * DEPTH / 4u;
alias A = f32;
alias B = f32;
alias T = f32;
alias C = f32;
alias S = f32;
alias V = vec4<T>;

struct Params {
    m: u32,
    n: u32,
    k: u32,
    tiles_m: u32,
    tiles_n: u32,
    batches: u32,
    a_offset: u32,
    a_row: u32,
    a_column: u32,
    b_offset: u32,
    b_row: u32,
    b_column: u32,
    c_offset: u32,
    sums_offset: u32,
    // Parts of k, and the k of each but the last: a multiple of DEPTH.
    parts: u32,
    part_k: u32,
    batch: vec4<u32>,
    a_batch: vec4<u32>,
    b_batch: vec4<u32>,
    // Words of a replaced region `store`.
    extra: array<vec4<u32>, EXTRA>,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<A>;
@group(0) @binding(2) var<storage, read> b: array<B>;
@group(0) @binding(3) var<storage, read_write> c: array<C>;

// `a` as [k][four rows], then `b` as [k][four columns]; at the end the sums of the parts.
var<workgroup> tile: array<vec4<f32>, DEPTH * (YS + XS)>;

// The element or the vector at `i`. The conversions let one text serve scalars and vectors.
fn at_a(i: u32) -> vec4<f32> {
    return vec4<f32>(V(a[select(i, i / 4u, A_VECTOR > 0u)]));
}

fn at_b(i: u32) -> vec4<f32> {
    return vec4<f32>(V(b[select(i, i / 4u, B_VECTOR > 0u)]));
}

// Four rows of `a` for each of four k.
fn block_a(base: u32, row: u32, k: u32) -> mat4x4<f32> {
    if A_VECTOR == 1u {
        let rows = vec4<u32>(row, row + 1u, row + 2u, row + 3u);
        let inside = (rows < vec4<u32>(p.m)) & vec4<bool>(k < p.k);
        let at = base + select(vec4<u32>(), rows * p.a_row + k, inside);
        return transpose(mat4x4<f32>(
            select(vec4<f32>(), at_a(at.x), inside.x),
            select(vec4<f32>(), at_a(at.y), inside.y),
            select(vec4<f32>(), at_a(at.z), inside.z),
            select(vec4<f32>(), at_a(at.w), inside.w),
        ));
    }
    let ks = vec4<u32>(k, k + 1u, k + 2u, k + 3u);
    if A_VECTOR == 2u {
        let inside = (ks < vec4<u32>(p.k)) & vec4<bool>(row < p.m);
        let at = base + select(vec4<u32>(), ks * p.a_column + row, inside);
        return mat4x4<f32>(
            select(vec4<f32>(), at_a(at.x), inside.x),
            select(vec4<f32>(), at_a(at.y), inside.y),
            select(vec4<f32>(), at_a(at.z), inside.z),
            select(vec4<f32>(), at_a(at.w), inside.w),
        );
    }
    return mat4x4<f32>(
        scalars_a(base, row, ks.x),
        scalars_a(base, row, ks.y),
        scalars_a(base, row, ks.z),
        scalars_a(base, row, ks.w),
    );
}

fn scalars_a(base: u32, row: u32, k: u32) -> vec4<f32> {
    let rows = vec4<u32>(row, row + 1u, row + 2u, row + 3u);
    let inside = (rows < vec4<u32>(p.m)) & vec4<bool>(k < p.k);
    let at = base + select(vec4<u32>(), rows * p.a_row + k * p.a_column, inside);
    return select(vec4<f32>(), vec4<f32>(at_a(at.x).x, at_a(at.y).x, at_a(at.z).x, at_a(at.w).x), inside);
}

// Four columns of `b` for each of four k.
fn block_b(base: u32, k: u32, column: u32) -> mat4x4<f32> {
    if B_VECTOR == 2u {
        let columns = vec4<u32>(column, column + 1u, column + 2u, column + 3u);
        let inside = (columns < vec4<u32>(p.n)) & vec4<bool>(k < p.k);
        let at = base + select(vec4<u32>(), columns * p.b_column + k, inside);
        return transpose(mat4x4<f32>(
            select(vec4<f32>(), at_b(at.x), inside.x),
            select(vec4<f32>(), at_b(at.y), inside.y),
            select(vec4<f32>(), at_b(at.z), inside.z),
            select(vec4<f32>(), at_b(at.w), inside.w),
        ));
    }
    let ks = vec4<u32>(k, k + 1u, k + 2u, k + 3u);
    if B_VECTOR == 1u {
        let inside = (ks < vec4<u32>(p.k)) & vec4<bool>(column < p.n);
        let at = base + select(vec4<u32>(), ks * p.b_row + column, inside);
        return mat4x4<f32>(
            select(vec4<f32>(), at_b(at.x), inside.x),
            select(vec4<f32>(), at_b(at.y), inside.y),
            select(vec4<f32>(), at_b(at.z), inside.z),
            select(vec4<f32>(), at_b(at.w), inside.w),
        );
    }
    return mat4x4<f32>(
        scalars_b(base, ks.x, column),
        scalars_b(base, ks.y, column),
        scalars_b(base, ks.z, column),
        scalars_b(base, ks.w, column),
    );
}

fn scalars_b(base: u32, k: u32, column: u32) -> vec4<f32> {
    let columns = vec4<u32>(column, column + 1u, column + 2u, column + 3u);
    let inside = (columns < vec4<u32>(p.n)) & vec4<bool>(k < p.k);
    let at = base + select(vec4<u32>(), columns * p.b_column + k * p.b_row, inside);
    return select(vec4<f32>(), vec4<f32>(at_b(at.x).x, at_b(at.y).x, at_b(at.z).x, at_b(at.w).x), inside);
}

// Where block `q` of a tile stands: its vector, its first k, and where it begins in `tile`.
struct Place {
    vector: u32,
    k: u32,
    at: u32,
}

fn place(q: u32) -> Place {
    if q < A_BLOCKS {
        let k = 4u * select(q / YS, q % (DEPTH / 4u), A_BY_K == 1u);
        let y = select(q % YS, q / (DEPTH / 4u), A_BY_K == 1u);
        return Place(y, k, k * YS + y);
    }
    let r = q - A_BLOCKS;
    let k = 4u * select(r / XS, r % (DEPTH / 4u), B_BY_K == 1u);
    let x = select(r % XS, r / (DEPTH / 4u), B_BY_K == 1u);
    return Place(x, k, DEPTH * YS + k * XS + x);
}

fn load(q: u32, base: vec2<u32>, first: vec2<u32>, start: u32) -> mat4x4<f32> {
    let here = place(q);
    if q < A_BLOCKS {
        return block_a(base.x, first.x + 4u * here.vector, start + here.k);
    }
    return block_b(base.y, start + here.k, first.y + 4u * here.vector);
}

fn keep(q: u32, block: mat4x4<f32>) {
    let at = place(q).at;
    let next = select(XS, YS, q < A_BLOCKS);
    tile[at] = block[0];
    tile[at + next] = block[1];
    tile[at + 2u * next] = block[2];
    tile[at + 3u * next] = block[3];
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

// Adds the sums of the parts; the first part gets the result.
fn join(sum: vec4<f32>, thread: u32) -> vec4<f32> {
    workgroupBarrier();
    tile[thread] = sum;
    workgroupBarrier();
    var total = sum;
    if thread < PART {
        for (var other = thread + PART; other < THREADS; other += PART) {
            total += tile[other];
        }
    }
    return total;
}

// What a replaced region `store` declares.
// [extra]
// [end]

// [store]
// `i` is the element's row-major number in the dense result, `at` its (z, i, j); with C_VECTOR `store4` is called
// instead.
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

fn store_row(z: u32, row: u32, column: u32, values: vec4<f32>) {
    if row < p.m {
        let first = (z * p.m + row) * p.n + column;
        if C_VECTOR == 1u {
            if column < p.n {
                store4(first, vec3<u32>(z, row, column), values);
            }
            return;
        }
        if column < p.n {
            store(first, vec3<u32>(z, row, column), values.x);
        }
        if column + 1u < p.n {
            store(first + 1u, vec3<u32>(z, row, column + 1u), values.y);
        }
        if column + 2u < p.n {
            store(first + 2u, vec3<u32>(z, row, column + 2u), values.z);
        }
        if column + 3u < p.n {
            store(first + 3u, vec3<u32>(z, row, column + 3u), values.w);
        }
    }
}

fn store_rows(z: u32, row: u32, column: u32, sums: Sums) {
    store_row(z, row, column, sums.r0);
    store_row(z, row + 1u, column, sums.r1);
    store_row(z, row + 2u, column, sums.r2);
    store_row(z, row + 3u, column, sums.r3);
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
    let first_column = number % p.tiles_n * (4u * XS);
    let first_row = number / p.tiles_n % p.tiles_m * (4u * YS);
    // One part of k of one matrix of the batch.
    let unit = number / (p.tiles_n * p.tiles_m);
    if unit >= p.batches * p.parts {
        return;
    }
    let z = unit % p.batches;
    let first_k = unit / p.batches * p.part_k;
    let end = min(first_k + p.part_k, p.k);
    let z2 = z / p.batch.w;
    let z1 = z2 / p.batch.z;
    let at = vec4<u32>(z1 / p.batch.y, z1 % p.batch.y, z2 % p.batch.z, z % p.batch.w);
    let a_base = p.a_offset + at.x * p.a_batch.x + at.y * p.a_batch.y + at.z * p.a_batch.z + at.w * p.a_batch.w;
    let b_base = p.b_offset + at.x * p.b_batch.x + at.y * p.b_batch.y + at.z * p.b_batch.z + at.w * p.b_batch.w;
    let base = vec2<u32>(a_base, b_base);
    let first = vec2<u32>(first_row, first_column);
    let part = thread / PART;
    let tx = thread % TX;
    let ty = thread % PART / TX;
    var all = All();
    var block0 = mat4x4<f32>();
    var block1 = mat4x4<f32>();
    if first_k < end {
        if thread < BLOCKS {
            block0 = load(thread, base, first, first_k);
        }
        if thread + THREADS < BLOCKS {
            block1 = load(thread + THREADS, base, first, first_k);
        }
    }
    for (var start = first_k; start < end; start += DEPTH) {
        if thread < BLOCKS {
            keep(thread, block0);
        }
        if thread + THREADS < BLOCKS {
            keep(thread + THREADS, block1);
        }
        workgroupBarrier();
        if start + DEPTH < end {
            if thread < BLOCKS {
                block0 = load(thread, base, first, start + DEPTH);
            }
            if thread + THREADS < BLOCKS {
                block1 = load(thread + THREADS, base, first, start + DEPTH);
            }
        }
        for (var k = part * BK; k < part * BK + BK; k += 4u) {
            // Written out, since drivers do not unroll loops that are guarded against running for ever.
            step(&all, (k + 0u) * YS + ty, DEPTH * YS + (k + 0u) * XS + tx);
            step(&all, (k + 1u) * YS + ty, DEPTH * YS + (k + 1u) * XS + tx);
            step(&all, (k + 2u) * YS + ty, DEPTH * YS + (k + 2u) * XS + tx);
            step(&all, (k + 3u) * YS + ty, DEPTH * YS + (k + 3u) * XS + tx);
        }
        workgroupBarrier();
    }
    if SPLIT > 1u {
        all.s00.r0 = join(all.s00.r0, thread);
        all.s00.r1 = join(all.s00.r1, thread);
        all.s00.r2 = join(all.s00.r2, thread);
        all.s00.r3 = join(all.s00.r3, thread);
        if ROW_SUMS == 1u {
            all.rows0 = join(all.rows0, thread);
        }
    }
    if part > 0u {
        return;
    }
    let row = first_row + 4u * ty;
    let column = first_column + 4u * tx;
    store_rows(unit, row, column, all.s00);
    if R > 1u {
        store_rows(unit, row, column + 4u * TX, all.s01);
        store_rows(unit, row + 4u * TY, column, all.s10);
        store_rows(unit, row + 4u * TY, column + 4u * TX, all.s11);
    }
    if (ROW_SUMS == 1u) & (column == 0u) {
        store_sums(unit * p.m, row, all.rows0);
        if R > 1u {
            store_sums(unit * p.m, row + 4u * TY, all.rows1);
        }
    }
}
