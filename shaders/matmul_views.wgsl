// The operands of a matmul as views, and its dense result: a part of matmul.wgsl, whose head gives the formula and the
// other constants.
//
// Layout: `a` and `b` are any views (an offset, a row and a column stride, four batch strides; strides may be zero or
//   negative and wrap around in u32). `c` is dense from an offset, [parts, batches, m, n].
// Bindings: 0 the sizes and strides (`p`, declared by matmul.wgsl), 1 `a`, 2 `b`.
// Constants:
//   A_VECTOR   1: four k of `a` are one aligned vector, and A is a vector of four: its column stride is 1, and k, the
//              offset and all other strides are multiples of 4. 2: the same for four rows. 0: A is a scalar.
//   B_VECTOR   the same for four columns of `b` (1) or four k of it (2).
//   A, B       the element types in memory: f32 or f16, or vectors of four. T, the scalar type of both.
// Bounds: rows and columns beyond the last read the last; k beyond the last read the first and count as 0. A vector lies
//   within the view where its first element does, by the multiples of 4 above.

// [outside]
const EXTRA: u32 = 1u;
@group(0) @binding(0) var<uniform> p: Params;
fn masked(block: mat4x4<f32>, inside: vec4<bool>) -> mat4x4<f32> { return block; }
// [end]

const A_VECTOR: u32 = 0u;
const B_VECTOR: u32 = 0u;
alias A = f32;
alias B = f32;
alias T = f32;
alias V = vec4<T>;
// Rows and columns that one load reads.
const ROWS_A: u32 = select(1u, 4u, A_VECTOR == 2u);
const COLUMNS_B: u32 = select(1u, 4u, B_VECTOR == 1u);

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

@group(0) @binding(1) var<storage, read> a: array<A>;
@group(0) @binding(2) var<storage, read> b: array<B>;

// Where the matrices of one of the batch begin, and their k.
struct Operands {
    a: u32,
    b: u32,
    k: u32,
}

fn operands(z: u32) -> Operands {
    let z2 = z / p.batch.w;
    let z1 = z2 / p.batch.z;
    let at = vec4<u32>(z1 / p.batch.y, z1 % p.batch.y, z2 % p.batch.z, z % p.batch.w);
    let a_at = p.a_offset + at.x * p.a_batch.x + at.y * p.a_batch.y + at.z * p.a_batch.z + at.w * p.a_batch.w;
    let b_at = p.b_offset + at.x * p.b_batch.x + at.y * p.b_batch.y + at.z * p.b_batch.z + at.w * p.b_batch.w;
    return Operands(a_at, b_at, p.k);
}

// Four columns of the result, `count` of which there are: the number and the coordinates (z, i, j) of the first in row
// 0, and how both go on to the next row and column.
struct Quad {
    count: u32,
    i: u32,
    row: u32,
    next: u32,
    at: vec3<u32>,
    along: vec3<u32>,
}

fn quad(both: Operands, unit: u32, column: u32) -> Quad {
    let count = max(p.n, column) - column;
    return Quad(count, unit * p.m * p.n + column, p.n, 1u, vec3<u32>(unit, 0u, column), vec3<u32>(0u, 0u, 1u));
}

// The element or the vector at `i`. The conversions let one text serve scalars and vectors.
fn at_a(i: u32) -> vec4<f32> {
    return vec4<f32>(V(a[select(i, i / 4u, A_VECTOR > 0u)]));
}

fn at_b(i: u32) -> vec4<f32> {
    return vec4<f32>(V(b[select(i, i / 4u, B_VECTOR > 0u)]));
}

// Where four rows of `a`, or four columns of `b`, begin.
struct Lines {
    at: vec4<u32>,
}

fn lines_a(both: Operands, row: u32) -> Lines {
    // Rows beyond the last are not stored: they may be any. A vector of four begins within the last four.
    let rows = min(vec4<u32>(row) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(max(p.m, ROWS_A) - ROWS_A));
    return Lines(vec4<u32>(both.a) + rows * p.a_row);
}

fn lines_b(both: Operands, column: u32) -> Lines {
    let columns = min(vec4<u32>(column) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(max(p.n, COLUMNS_B) - COLUMNS_B));
    return Lines(vec4<u32>(both.b) + columns * p.b_column);
}

// Four rows of `a` for each of four k.
fn block_a(both: Operands, lines: Lines, k: u32) -> mat4x4<f32> {
    let ks = vec4<u32>(k) + vec4<u32>(0u, 1u, 2u, 3u);
    let inside = ks < vec4<u32>(both.k);
    let at = select(vec4<u32>(), ks, inside) * p.a_column;
    if A_VECTOR == 1u {
        let i = lines.at + vec4<u32>(at.x);
        return transpose(masked(mat4x4<f32>(at_a(i.x), at_a(i.y), at_a(i.z), at_a(i.w)), inside.xxxx));
    }
    let block = mat4x4<f32>(rows_a(lines, at.x), rows_a(lines, at.y), rows_a(lines, at.z), rows_a(lines, at.w));
    return masked(block, inside);
}

// Four rows at one k, which is `at` further.
fn rows_a(lines: Lines, at: u32) -> vec4<f32> {
    if A_VECTOR == 2u {
        return at_a(lines.at.x + at);
    }
    let i = lines.at + vec4<u32>(at);
    return vec4<f32>(at_a(i.x).x, at_a(i.y).x, at_a(i.z).x, at_a(i.w).x);
}

// Four columns of `b` for each of four k.
fn block_b(both: Operands, lines: Lines, k: u32) -> mat4x4<f32> {
    let ks = vec4<u32>(k) + vec4<u32>(0u, 1u, 2u, 3u);
    let inside = ks < vec4<u32>(both.k);
    let at = select(vec4<u32>(), ks, inside) * p.b_row;
    if B_VECTOR == 2u {
        let i = lines.at + vec4<u32>(at.x);
        return transpose(masked(mat4x4<f32>(at_b(i.x), at_b(i.y), at_b(i.z), at_b(i.w)), inside.xxxx));
    }
    let block = mat4x4<f32>(columns_b(lines, at.x), columns_b(lines, at.y), columns_b(lines, at.z), columns_b(lines, at.w));
    return masked(block, inside);
}

// Four columns at one k, which is `at` further.
fn columns_b(lines: Lines, at: u32) -> vec4<f32> {
    if B_VECTOR == 1u {
        return at_b(lines.at.x + at);
    }
    let i = lines.at + vec4<u32>(at);
    return vec4<f32>(at_b(i.x).x, at_b(i.y).x, at_b(i.z).x, at_b(i.w).x);
}
