// The partial sums of a convolution's tile, in registers: a part of conv.wgsl, whose head gives the formula and the
// constants.
//
// A thread adds X[k, j] · w[i, k] for up to 16 rows i and up to two columns j; `eight` does so for eight k whose
// weights are in `w_tile`, and whose positions in `k_tile`. `join_all` adds the sums of the SPLIT threads that share
// a column, in the order of the threads.
//
// Layout: w_tile[r · DEPTH + k] holds rows 4r to 4r + 3 at k; k_tile[k] what k adds to a position.
// Constants: COLUMNS, PER, SPLIT, ROWS, BK, WIDE and those made of them, see conv.wgsl.
// Region: with WIDE 1 `broadcast` is replaced by functions that pass values between the threads of a subgroup.
// Bounds: k is below DEPTH, r below ROWS / 4 and a thread's number below THREADS, by which `w_tile` and `k_tile` are
//   sized.

// [outside]
const COLUMNS: u32 = 64u;
const PER: u32 = 1u;
const ROWS: u32 = 16u;
const BK: u32 = 16u;
const WIDE: u32 = 0u;
const THREADS: u32 = 64u;
const DEPTH: u32 = 16u;

fn load_x(j: vec4<u32>, k: vec4<u32>) -> f32 { return 0.0; }
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

// The next k: eight, or four where BK is 4.
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
        if BK > 4u {
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
        if BK > 4u {
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
