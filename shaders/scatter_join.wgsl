// Ends scatter-add: adds the sums of rows whose slices are in several chunks, in order, and stores zeros for rows
// that have none. Rows whose slices are in one chunk have been stored by `scatter_runs.wgsl`.
//
// A thread takes one element of `out`.
//
// Layout: starts [rows + 1], heads and tails [outer, chunks, inner], from 0; out [outer, rows, inner] from an offset.
// Bindings: 0 the sizes, 1 `starts`, 2 `heads`, 3 `tails`, 4 `out`.
// Constants: WORKGROUP, threads a workgroup: 1 to 256. CHUNK, pairs of a chunk. T, the element type: f32 or f16.
// Bounds: a thread beyond the last element returns at once. `starts` ascends up to the number of pairs, so the chunks
//   of a row are chunks that there are.

const WORKGROUP: u32 = 64u;
const CHUNK: u32 = 64u;
alias T = f32;

struct Params {
    count: u32,
    rows: u32,
    inner: u32,
    chunks: u32,
    out_offset: u32,
    unused0: u32,
    unused1: u32,
    unused2: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> starts: array<u32>;
@group(0) @binding(2) var<storage, read> heads: array<f32>;
@group(0) @binding(3) var<storage, read> tails: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<T>;

// The sum of chunk c, if it is one of the row's.
fn tail(c: u32, last: u32, first_partial: u32) -> f32 {
    if c <= last {
        return tails[first_partial + c * p.inner];
    }
    return 0.0;
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
    let r = e / p.inner % p.rows;
    let o = e / (p.inner * p.rows);
    let start = starts[r];
    let end = starts[r + 1u];
    if start == end {
        out[p.out_offset + e] = T();
        return;
    }
    let first = start / CHUNK;
    let last = (end - 1u) / CHUNK;
    if first == last {
        return;
    }
    let first_partial = o * p.chunks * p.inner + i;
    var sum = heads[first_partial + first * p.inner];
    // Eight are read at a time, so that their latencies overlap.
    for (var c = first + 1u; c <= last; c += 8u) {
        let low = (tail(c, last, first_partial) + tail(c + 1u, last, first_partial))
            + (tail(c + 2u, last, first_partial) + tail(c + 3u, last, first_partial));
        let high = (tail(c + 4u, last, first_partial) + tail(c + 5u, last, first_partial))
            + (tail(c + 6u, last, first_partial) + tail(c + 7u, last, first_partial));
        sum += low + high;
    }
    out[p.out_offset + e] = T(sum);
}
