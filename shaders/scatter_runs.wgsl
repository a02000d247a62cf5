// Sums of slices with the same row, in chunks of sorted pairs (row, k): the part of scatter-add that reads the values.
//
// A thread takes one element of the slices of a chunk of CHUNK pairs, in their order. A run of pairs with one row
// that lies in the chunk is stored in `out` at once. Of a run over several chunks, the sum in its first chunk goes to
// `heads`, and those in the others to `tails`; `scatter_join.wgsl` adds them.
//
// Layout: dense values [outer, length, inner] and out [outer, rows, inner], each from an offset; heads and tails
//   [outer, chunks, inner] from 0.
// Bindings: 0 the sizes, 1 `pairs`, 2 `values`, 3 `heads`, 4 `tails`, 5 `out`.
// Constants: WORKGROUP, threads a workgroup: 1 to 256. CHUNK, pairs of a chunk. T, the element type: f32 or f16; sums
//   are f32.
// Bounds: a thread beyond the last element returns at once; the last chunk ends at `length`, and pairs beyond a
//   chunk's end read its last one. A pair's row and slice are in range as `scatter_pairs.wgsl` made them.

const WORKGROUP: u32 = 64u;
const CHUNK: u32 = 64u;
alias T = f32;

struct Params {
    count: u32,
    rows: u32,
    length: u32,
    inner: u32,
    chunks: u32,
    values_offset: u32,
    out_offset: u32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> pairs: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> values: array<T>;
@group(0) @binding(3) var<storage, read_write> heads: array<f32>;
@group(0) @binding(4) var<storage, read_write> tails: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<T>;

// The run that a thread is in.
struct Run {
    row: u32,
    sum: f32,
    // Whether it began in an earlier chunk.
    continued: bool,
}

struct Slice {
    row: u32,
    value: f32,
}

fn slice(column: u32, at: u32, end: u32) -> Slice {
    let pair = pairs[min(at, end - 1u)];
    return Slice(pair.x, f32(values[column + pair.y * p.inner]));
}

fn add(run: ptr<function, Run>, e: u32, first_out: u32, next: Slice, inside: bool) {
    if !inside {
        return;
    }
    if next.row != (*run).row {
        if (*run).continued {
            tails[e] = (*run).sum;
        } else {
            out[first_out + (*run).row * p.inner] = T((*run).sum);
        }
        *run = Run(next.row, 0.0, false);
    }
    (*run).sum += next.value;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let e = (group.y * groups.x + group.x) * WORKGROUP + thread;
    if e >= p.count {
        return;
    }
    let i = e % p.inner;
    let start = e / p.inner % p.chunks * CHUNK;
    let o = e / (p.inner * p.chunks);
    let end = min(start + CHUNK, p.length);
    let column = p.values_offset + o * p.length * p.inner + i;
    let first_out = p.out_offset + o * p.rows * p.inner + i;
    let row = pairs[start].x;
    var run = Run(row, 0.0, start > 0u && pairs[max(start, 1u) - 1u].x == row);
    // Four are read at a time, so that their latencies overlap.
    for (var at = start; at < end; at += 4u) {
        let s0 = slice(column, at, end);
        let s1 = slice(column, at + 1u, end);
        let s2 = slice(column, at + 2u, end);
        let s3 = slice(column, at + 3u, end);
        add(&run, e, first_out, s0, true);
        add(&run, e, first_out, s1, at + 1u < end);
        add(&run, e, first_out, s2, at + 2u < end);
        add(&run, e, first_out, s3, at + 3u < end);
    }
    if run.continued {
        tails[e] = run.sum;
    } else if end < p.length && pairs[min(end, p.length - 1u)].x == run.row {
        heads[e] = run.sum;
    } else {
        out[first_out + run.row * p.inner] = T(run.sum);
    }
}
