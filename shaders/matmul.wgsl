// Batched matrix product: c[z, i, j] = Σ_k a[z, i, k] · b[z, k, j].
//
// Each workgroup computes a tile of 4·TY rows by 4·TX columns, each thread 4×4 of it in registers. Tiles of `a` and
// `b`, BK deep, go through workgroup memory as vectors of four rows of `a` and four columns of `b`, so a step of k costs a
// thread two vector loads and sixteen multiply-adds.
//
// Layout: `a` and `b` are any views (an offset, a row and a column stride, four batch strides; strides may be zero or
//   negative and wrap around in u32); `c` is dense from an offset.
// Bindings: 0 the sizes and strides, 1 `a`, 2 `b`, 3 `c`.
// Constants:
//   TX, TY     threads along columns and rows: TX·TY at most 256.
//   BK         depth of a tile: a multiple of 4; (TX + TY) · BK · 16 bytes of workgroup memory at most 16 KiB.
//   A_BY_K     1: neighbouring threads read neighbouring k of `a` (its column stride is 1); 0: neighbouring rows.
//   B_BY_K     1: neighbouring threads read neighbouring k of `b`; 0: neighbouring columns.
//   EXTRA      vectors of four words at the end of the parameters, for a replaced region `store`: 1 or more.
//   T          the element type in memory: f32 or f16. Sums are f32.
// Regions: `store` writes one element of the result; every element goes through it once.
// Bounds: rows, columns and k beyond the matrices load as 0 and are not stored; workgroups beyond the last tile do
//   nothing. k = 0 gives zeros.

const TX: u32 = 16u;
const TY: u32 = 16u;
const BK: u32 = 16u;
const A_BY_K: u32 = 1u;
const B_BY_K: u32 = 0u;
const THREADS: u32 = TX * TY;
const EXTRA: u32 = 1u;
alias T = f32;

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
    unused0: u32,
    unused1: u32,
    unused2: u32,
    batch: vec4<u32>,
    a_batch: vec4<u32>,
    b_batch: vec4<u32>,
    // Words of a replaced region `store`.
    extra: array<vec4<u32>, EXTRA>,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<T>;
@group(0) @binding(2) var<storage, read> b: array<T>;
@group(0) @binding(3) var<storage, read_write> c: array<T>;

// [k][four rows] and [k][four columns].
var<workgroup> a_tile: array<vec4<f32>, BK * TY>;
var<workgroup> b_tile: array<vec4<f32>, BK * TX>;

fn load_a(base: u32, row: u32, k: u32) -> f32 {
    if row < p.m && k < p.k {
        return f32(a[base + row * p.a_row + k * p.a_column]);
    }
    return 0.0;
}

fn load_b(base: u32, k: u32, column: u32) -> f32 {
    if column < p.n && k < p.k {
        return f32(b[base + k * p.b_row + column * p.b_column]);
    }
    return 0.0;
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

fn store_row(base: u32, row: u32, column: u32, values: vec4<f32>) {
    if row < p.m {
        let first = base + row * p.n + column;
        if column < p.n {
            store(first, values.x);
        }
        if column + 1u < p.n {
            store(first + 1u, values.y);
        }
        if column + 2u < p.n {
            store(first + 2u, values.z);
        }
        if column + 3u < p.n {
            store(first + 3u, values.w);
        }
    }
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let tile = group.y * groups.x + group.x;
    let first_column = tile % p.tiles_n * (4u * TX);
    let first_row = tile / p.tiles_n % p.tiles_m * (4u * TY);
    let z = tile / (p.tiles_n * p.tiles_m);
    if z >= p.batches {
        return;
    }
    let z2 = z / p.batch.w;
    let z1 = z2 / p.batch.z;
    let at = vec4<u32>(z1 / p.batch.y, z1 % p.batch.y, z2 % p.batch.z, z % p.batch.w);
    let a_base = p.a_offset + at.x * p.a_batch.x + at.y * p.a_batch.y + at.z * p.a_batch.z + at.w * p.a_batch.w;
    let b_base = p.b_offset + at.x * p.b_batch.x + at.y * p.b_batch.y + at.z * p.b_batch.z + at.w * p.b_batch.w;
    let tx = thread % TX;
    let ty = thread / TX;
    var acc0 = vec4<f32>();
    var acc1 = vec4<f32>();
    var acc2 = vec4<f32>();
    var acc3 = vec4<f32>();
    for (var start = 0u; start < p.k; start += BK) {
        for (var q = thread; q < BK * TY; q += THREADS) {
            let k = select(q / TY, q % BK, A_BY_K == 1u);
            let y = select(q % TY, q / BK, A_BY_K == 1u);
            let row = first_row + 4u * y;
            a_tile[k * TY + y] = vec4<f32>(
                load_a(a_base, row, start + k),
                load_a(a_base, row + 1u, start + k),
                load_a(a_base, row + 2u, start + k),
                load_a(a_base, row + 3u, start + k),
            );
        }
        for (var q = thread; q < BK * TX; q += THREADS) {
            let k = select(q / TX, q % BK, B_BY_K == 1u);
            let x = select(q % TX, q / BK, B_BY_K == 1u);
            let column = first_column + 4u * x;
            b_tile[k * TX + x] = vec4<f32>(
                load_b(b_base, start + k, column),
                load_b(b_base, start + k, column + 1u),
                load_b(b_base, start + k, column + 2u),
                load_b(b_base, start + k, column + 3u),
            );
        }
        workgroupBarrier();
        // Four steps a turn: written out, since drivers do not unroll loops that are guarded against running for ever.
        for (var k = 0u; k < BK; k += 4u) {
            let left0 = a_tile[(k + 0u) * TY + ty];
            let right0 = b_tile[(k + 0u) * TX + tx];
            acc0 += left0.x * right0;
            acc1 += left0.y * right0;
            acc2 += left0.z * right0;
            acc3 += left0.w * right0;
            let left1 = a_tile[(k + 1u) * TY + ty];
            let right1 = b_tile[(k + 1u) * TX + tx];
            acc0 += left1.x * right1;
            acc1 += left1.y * right1;
            acc2 += left1.z * right1;
            acc3 += left1.w * right1;
            let left2 = a_tile[(k + 2u) * TY + ty];
            let right2 = b_tile[(k + 2u) * TX + tx];
            acc0 += left2.x * right2;
            acc1 += left2.y * right2;
            acc2 += left2.z * right2;
            acc3 += left2.w * right2;
            let left3 = a_tile[(k + 3u) * TY + ty];
            let right3 = b_tile[(k + 3u) * TX + tx];
            acc0 += left3.x * right3;
            acc1 += left3.y * right3;
            acc2 += left3.z * right3;
            acc3 += left3.w * right3;
        }
        workgroupBarrier();
    }
    let base = z * p.m * p.n;
    let row = first_row + 4u * ty;
    let column = first_column + 4u * tx;
    store_row(base, row, column, acc0);
    store_row(base, row + 1u, column, acc1);
    store_row(base, row + 2u, column, acc2);
    store_row(base, row + 3u, column, acc3);
}
