// Batched matmul: c[z, i, j] = Σ_k a[z, i, k] · b[z, k, j], without workgroup memory or barriers.
//
// A thread computes ROWS rows of QUADS times four neighbouring columns in registers, four k an iteration. The threads
// of a workgroup share their rows: each of the first eight lanes of a subgroup reads every eighth row of `a`, and all
// get the values from there.
//
// Layout: `a` and `b` are any views (an offset, a row and a column stride, four batch strides; strides may be zero or
//   negative and wrap around in u32); `c` is dense from an offset.
// Bindings: 0 the sizes and strides (as in `matmul.wgsl`), 1 `a`, 2 `b`, 3 `c`, and
//   with ROW_SUMS 4 `row_sums`, dense from an offset.
// Constants:
//   THREADS    threads a workgroup: a multiple of 8, at most 256.
//   QUADS      1 or 2: a thread's groups of four columns; the second is 4·THREADS columns after the first.
//   ROWS       rows a thread computes: 8, 16, 24 or 32.
//   WIDE       1: lanes pass values. As committed (0) every subgroup would have to have one thread.
//   A_VECTOR   1: four k of `a` are one aligned vector, and A is a vector of four: its column stride is 1, and k, the
//              offset and all other strides are multiples of 4. 0: A is a scalar.
//   B_VECTOR   the same for four columns of `b` (1) or four k of it (2).
//   C_VECTOR   1: four columns of `c` are one aligned vector, and C is a vector of four: n and the offset are
//              multiples of 4; the region `store` is replaced. 0: C is a scalar.
//   ROW_SUMS   1: row_sums[z, i] = Σ_k a[z, i, k] too, by the workgroups of the first columns.
//   EXTRA      vectors of four words at the end of the parameters, for a replaced region `store`: 1 or more.
//   A, B, C, T the element types in memory: f32 or f16, or vectors of four. Sums are f32.
// Needs: subgroups of 8 or more threads, full ones, numbered as the threads are.
// Regions: `a` and `b` are replaced where a side is read as a uniform (see `src/wgsl/window.rs`); it is declared
//   there, as vectors of four whatever A and B say. `store` writes one element of the result; every element, or with
//   C_VECTOR every four, goes through it once. `row_sums` is replaced by a function that does nothing where ROW_SUMS
//   is 0, and then nothing is bound for it.
// Bounds: rows and columns beyond the last repeat it and are not stored; k beyond the last repeat it and count as 0
//   on both sides; workgroups beyond the last tile do nothing. k = 0 gives zeros. A vector lies within the view where
//   its first element does, by the multiples of 4 above.

const THREADS: u32 = 32u;
const ROWS: u32 = 32u;
const WIDE: u32 = 0u;
const A_VECTOR: u32 = 0u;
const B_VECTOR: u32 = 0u;
const QUADS: u32 = 1u;
const C_VECTOR: u32 = 0u;
const ROW_SUMS: u32 = 0u;
const EXTRA: u32 = 1u;
alias A = f32;
alias B = f32;
alias T = f32;
alias C = f32;
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
    unused1: u32,
    unused2: u32,
    batch: vec4<u32>,
    a_batch: vec4<u32>,
    b_batch: vec4<u32>,
    // Words of a replaced region `store`.
    extra: array<vec4<u32>, EXTRA>,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read_write> c: array<C>;

// An element of a side, or the four of an aligned vector. The conversions let one text serve scalars and vectors.
// [a]
@group(0) @binding(1) var<storage, read> a: array<A>;
fn a_one(at: u32) -> f32 {
    return vec4<f32>(V(a[at])).x;
}
fn a_four(at: u32) -> vec4<f32> {
    return vec4<f32>(V(a[at / 4u]));
}
// [end]

// [b]
@group(0) @binding(2) var<storage, read> b: array<B>;
fn b_one(at: u32) -> f32 {
    return vec4<f32>(V(b[at])).x;
}
fn b_four(at: u32) -> vec4<f32> {
    return vec4<f32>(V(b[at / 4u]));
}
// [end]

// [broadcast]
fn from0(v: f32) -> f32 {
    return v;
}
fn from1(v: f32) -> f32 {
    return v;
}
fn from2(v: f32) -> f32 {
    return v;
}
fn from3(v: f32) -> f32 {
    return v;
}
fn from4(v: f32) -> f32 {
    return v;
}
fn from5(v: f32) -> f32 {
    return v;
}
fn from6(v: f32) -> f32 {
    return v;
}
fn from7(v: f32) -> f32 {
    return v;
}
// [end]

// Four k of a row.
fn load_a(base: u32, k: u32) -> vec4<f32> {
    if A_VECTOR == 1u {
        return a_four(base + k);
    }
    let at = base + min(vec4<u32>(k, k + 1u, k + 2u, k + 3u), vec4<u32>(p.k - 1u)) * p.a_column;
    let values = vec4<f32>(
        a_one(at.x),
        a_one(at.y),
        a_one(at.z),
        a_one(at.w),
    );
    return select(vec4<f32>(), values, vec4<u32>(k, k + 1u, k + 2u, k + 3u) < vec4<u32>(p.k));
}

// Four columns of a row of `b`.
fn load_b(at: vec4<u32>, k: u32) -> vec4<f32> {
    let row = min(k, p.k - 1u) * p.b_row;
    if B_VECTOR == 1u {
        return select(vec4<f32>(), b_four(at.x + row), k < p.k);
    }
    let values = vec4<f32>(
        b_one(at.x + row),
        b_one(at.y + row),
        b_one(at.z + row),
        b_one(at.w + row),
    );
    return select(vec4<f32>(), values, k < p.k);
}

// Where four columns of `b` begin. With vectors, four columns never straddle the last; without, each is held back by
// itself.
fn columns_at(base: u32, column: u32) -> vec4<u32> {
    if B_VECTOR == 1u {
        return vec4<u32>(base + min(column, max(p.n, 4u) - 4u) * p.b_column);
    }
    return base + min(vec4<u32>(column, column + 1u, column + 2u, column + 3u), vec4<u32>(p.n - 1u)) * p.b_column;
}

// Four columns for each of four k.
fn load_right(columns: vec4<u32>, k: u32) -> mat4x4<f32> {
    if B_VECTOR == 2u {
        return transpose(mat4x4<f32>(
            b_four(columns.x + k),
            b_four(columns.y + k),
            b_four(columns.z + k),
            b_four(columns.w + k),
        ));
    }
    return mat4x4<f32>(
        load_b(columns, k),
        load_b(columns, k + 1u),
        load_b(columns, k + 2u),
        load_b(columns, k + 3u),
    );
}

// Eight rows of four columns.
alias Sums = array<vec4<f32>, 8>;

// A column of `left`, of which each lane holds a row, times a row of the right side.
fn eight(sums: ptr<function, Sums>, left: f32, right: vec4<f32>) {
    (*sums)[0] += from0(left) * right;
    (*sums)[1] += from1(left) * right;
    (*sums)[2] += from2(left) * right;
    (*sums)[3] += from3(left) * right;
    (*sums)[4] += from4(left) * right;
    (*sums)[5] += from5(left) * right;
    (*sums)[6] += from6(left) * right;
    (*sums)[7] += from7(left) * right;
}

fn four(sums: ptr<function, Sums>, left: vec4<f32>, right: mat4x4<f32>) {
    eight(sums, left.x, right[0]);
    eight(sums, left.y, right[1]);
    eight(sums, left.z, right[2]);
    eight(sums, left.w, right[3]);
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
@group(0) @binding(4) var<storage, read_write> row_sums: array<T>;

fn store_sum(i: u32, value: f32) {
    row_sums[p.sums_offset + i] = T(value);
}
// [end]

fn store_row(z: u32, row: u32, column: u32, values: vec4<f32>) {
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

// Row `r % 8` of eight.
fn of_eight(all: Sums, r: u32) -> vec4<f32> {
    let odd = (r & 1u) == 1u;
    let two = (r & 2u) == 2u;
    let low = select(select(all[0], all[1], odd), select(all[2], all[3], odd), two);
    let high = select(select(all[4], all[5], odd), select(all[6], all[7], odd), two);
    return select(low, high, (r & 4u) == 4u);
}

// Row `r` of the thread's: chosen, not indexed, so that they stay in registers.
fn row_of(s0: Sums, s1: Sums, s2: Sums, s3: Sums, r: u32) -> vec4<f32> {
    var row = of_eight(s0, r);
    if ROWS > 8u {
        row = select(row, of_eight(s1, r), r > 7u);
    }
    if ROWS > 16u {
        row = select(row, of_eight(s2, r), r > 15u);
    }
    if ROWS > 24u {
        row = select(row, of_eight(s3, r), r > 23u);
    }
    return row;
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let tile = group.y * groups.x + group.x;
    let column = (tile % p.tiles_n * (THREADS * QUADS) + thread) * 4u;
    let first_row = tile / p.tiles_n % p.tiles_m * ROWS;
    let z = tile / (p.tiles_n * p.tiles_m);
    if z >= p.batches {
        return;
    }
    let z2 = z / p.batch.w;
    let z1 = z2 / p.batch.z;
    let at = vec4<u32>(z1 / p.batch.y, z1 % p.batch.y, z2 % p.batch.z, z % p.batch.w);
    let a_base = p.a_offset + at.x * p.a_batch.x + at.y * p.a_batch.y + at.z * p.a_batch.z + at.w * p.a_batch.w;
    let b_base = p.b_offset + at.x * p.b_batch.x + at.y * p.b_batch.y + at.z * p.b_batch.z + at.w * p.b_batch.w;
    let last_row = p.m - 1u;
    let row = first_row + thread % 8u;
    let rows = a_base + min(vec4<u32>(row, row + 8u, row + 16u, row + 24u), vec4<u32>(last_row)) * p.a_row;
    var sums0 = Sums();
    var sums1 = Sums();
    var sums2 = Sums();
    var sums3 = Sums();
    var more0 = Sums();
    var more1 = Sums();
    var more2 = Sums();
    var more3 = Sums();
    // Of the row that a lane reads, in each of the groups of eight rows.
    var row_total = vec4<f32>();
    let columns = columns_at(b_base, column);
    let more_columns = columns_at(b_base, column + 4u * THREADS);
    for (var k = 0u; k < p.k; k += 4u) {
        let right = load_right(columns, k);
        var more = mat4x4<f32>();
        if QUADS > 1u {
            more = load_right(more_columns, k);
        }
        {
            let left = load_a(rows.x, k);
            four(&sums0, left, right);
            if QUADS > 1u {
                four(&more0, left, more);
            }
            if ROW_SUMS == 1u {
                row_total.x += left.x + left.y + left.z + left.w;
            }
        }
        if ROWS > 8u {
            let left = load_a(rows.y, k);
            four(&sums1, left, right);
            if QUADS > 1u {
                four(&more1, left, more);
            }
            if ROW_SUMS == 1u {
                row_total.y += left.x + left.y + left.z + left.w;
            }
        }
        if ROWS > 16u {
            let left = load_a(rows.z, k);
            four(&sums2, left, right);
            if QUADS > 1u {
                four(&more2, left, more);
            }
            if ROW_SUMS == 1u {
                row_total.z += left.x + left.y + left.z + left.w;
            }
        }
        if ROWS > 24u {
            let left = load_a(rows.w, k);
            four(&sums3, left, right);
            if QUADS > 1u {
                four(&more3, left, more);
            }
            if ROW_SUMS == 1u {
                row_total.w += left.x + left.y + left.z + left.w;
            }
        }
    }
    // Written out once: a store is long text where something is done to the result. Counted from a row that drivers
    // do not know, else Mesa's unroll a loop as short as this.
    for (var i = first_row * QUADS; i < min(first_row + ROWS, p.m) * QUADS; i += 1u) {
        let line = i / QUADS;
        let r = line - first_row;
        let second = i % QUADS == 1u;
        var values = row_of(sums0, sums1, sums2, sums3, r);
        if QUADS > 1u {
            values = select(values, row_of(more0, more1, more2, more3, r), second);
        }
        store_row(z, line, column + select(0u, 4u * THREADS, second), values);
    }
    if ROW_SUMS == 1u {
        for (var part = 0u; part < ROWS / 8u; part += 1u) {
            if (column == 4u * thread) & (thread < 8u) & (row + 8u * part < p.m) {
                store_sum(z * p.m + row + 8u * part, row_total[part]);
            }
        }
    }
}
