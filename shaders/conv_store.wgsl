// How a convolution's results are stored: a part of conv.wgsl, whose head gives the layouts and the constants.
//
// Layout and bindings: 3 `c`, and with ROW_SUMS 4 `row_sums`, both dense from an offset; the uniform `p` is
//   conv.wgsl's.
// Constants: PER, WIDE, ROW_SUMS, C and S, see conv.wgsl.
// Regions: `store` writes one element of the result; every element goes through it once. `row_sums` is replaced by a
//   function that does nothing where ROW_SUMS is 0, and then nothing is bound for it.
// Bounds: nothing is stored for rows beyond the last, units (a part of k of a group) beyond the last, or columns
//   beyond the last, but for the column after it with ROW_SUMS, which has one sum for each row.

// [outside]
const PER: u32 = 1u;
const WIDE: u32 = 0u;
const ROW_SUMS: u32 = 0u;
alias C = f32;
alias S = f32;

struct Params { m: u32, groups: u32, c_offset: u32, c_group: u32, c_row: u32, c_j0: u32, sums_offset: u32, parts: u32 }

@group(0) @binding(0) var<uniform> p: Params;

struct Sums { s0: vec4<f32>, s1: vec4<f32>, s2: vec4<f32>, s3: vec4<f32> }
struct Place { j: vec4<u32>, at: vec2<u32>, column: u32 }
fn from0(v: vec4<u32>) -> vec4<u32> { return vec4<u32>(); }
fn from1(v: vec4<u32>) -> vec4<u32> { return vec4<u32>(); }
fn from2(v: vec4<u32>) -> vec4<u32> { return vec4<u32>(); }
fn from3(v: vec4<u32>) -> vec4<u32> { return vec4<u32>(); }
fn from4(v: vec4<u32>) -> vec4<u32> { return vec4<u32>(); }
fn from5(v: vec4<u32>) -> vec4<u32> { return vec4<u32>(); }
fn from6(v: vec4<u32>) -> vec4<u32> { return vec4<u32>(); }
fn from7(v: vec4<u32>) -> vec4<u32> { return vec4<u32>(); }
fn bits(v: vec4<f32>) -> vec4<u32> { return vec4<u32>(); }
fn floats(v: vec4<u32>) -> vec4<f32> { return vec4<f32>(); }
// [end]

@group(0) @binding(3) var<storage, read_write> c: array<C>;

// What a replaced region `store` declares.
// [extra]
// [end]

// [store]
// What a row's elements have in common, for `store`.
fn hold(row: u32) -> vec4<f32> {
    return vec4<f32>();
}

// `i` is the element's row-major number in the dense result, `at` is (j0, the row counted through all groups, (jy,
// jx)).
fn store(i: u32, at: vec3<u32>, held: vec4<f32>, value: f32) {
    c[p.c_offset + i] = C(value);
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
@group(0) @binding(4) var<storage, read_write> row_sums: array<S>;

fn store_sum(i: u32, value: f32) {
    row_sums[p.sums_offset + i] = S(value);
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

// Stores four rows of a column, or, for the column after the last, their sums.
fn store_four(here: Place, columns: u32, unit: u32, row: u32, held: Sums, sums: vec4<f32>) {
    // One comparison says whether to store: drivers that run threads in lanes look at it in each.
    let end = select(0u, p.m, here.column < columns && unit < p.groups * p.parts);
    let i = unit * p.c_group + here.at.x * p.c_j0 + here.at.y;
    store_rows(i, vec3<u32>(here.at.x, unit * p.m + row, here.at.y), row, end, held, sums);
    if (ROW_SUMS == 1u) & (here.column == columns) & (unit < p.groups * p.parts) {
        store_sums(unit * p.m, row, sums);
    }
}

fn store_both(here: Place, there: Place, columns: u32, unit: u32, row: u32, held: Sums, sums: vec4<f32>, more: vec4<f32>) {
    store_four(here, columns, unit, row, held, sums);
    if PER > 1u {
        store_four(there, columns, unit, row, held, more);
    }
}

// Stores a row of the thread's in one of its columns, or, for the column after the last, the row's sum.
fn store_one(here: Place, columns: u32, unit: u32, row: u32, held: vec4<f32>, value: f32) {
    let inside = unit < p.groups * p.parts;
    if inside & (here.column < columns) {
        let i = unit * p.c_group + here.at.x * p.c_j0 + here.at.y;
        store(i + row * p.c_row, vec3<u32>(here.at.x, unit * p.m + row, here.at.y), held, value);
    }
    if (ROW_SUMS == 1u) & inside & (here.column == columns) {
        store_sum(unit * p.m + row, value);
    }
}
