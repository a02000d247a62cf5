// One pass of a stable sort of pairs (key, position) by BITS bits of their keys, from the lowest bits on (an LSD
// radix sort).
//
// A block is WORKGROUP · PER neighbouring pairs, which a workgroup takes; each thread takes PER neighbouring ones. Two
// dispatches make a pass: with PLACE 0 each block counts its pairs by digit; the counts, [digits, blocks], are summed
// up by a scan; with PLACE 1 each block puts its pairs where the sums say. Order within a digit is kept: by block, by
// thread, and within a thread one after the other. There are no atomics.
//
// Layout: dense pairs, counts and inclusive sums of the counts, from 0.
// Bindings: 0 the sizes, 1 `pairs`, then `counts` (PLACE 0) or `sums` and `sorted` (PLACE 1).
// Constants:
//   WORKGROUP  threads a workgroup: 32 to 256, at least 2^BITS. WORKGROUP · 2^BITS words of workgroup memory.
//   PER        pairs a thread takes.
//   PLACE      see above; the region of the other stage is replaced by functions that do nothing.
// Bounds: pairs from `count` on are skipped; workgroups beyond the last block have none and store nothing. The sums
//   are a permutation's places, below `count`.

const WORKGROUP: u32 = 64u;
const PER: u32 = 16u;
const PLACE: u32 = 1u;
const BITS: u32 = 5u;
const DIGITS: u32 = 32u;

struct Params {
    count: u32,
    blocks: u32,
    shift: u32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> pairs: array<vec2<u32>>;

// [counting]
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;
fn store_count(i: u32, count: u32) {
    counts[i] = count;
}
// [end]

// [placing]
@group(0) @binding(3) var<storage, read> sums: array<u32>;
@group(0) @binding(4) var<storage, read_write> sorted: array<vec2<u32>>;
// Pairs of lower digits, and of this one in earlier blocks.
fn before(i: u32) -> u32 {
    if i == 0u {
        return 0u;
    }
    return sums[i - 1u];
}
fn put(i: u32, pair: vec2<u32>) {
    sorted[i] = pair;
}
// [end]

// By digit and thread: how many pairs the thread has, then where its next one goes.
var<workgroup> places: array<u32, WORKGROUP * DIGITS>;

fn digit(pair: vec2<u32>) -> u32 {
    return (pair.x >> p.shift) & (DIGITS - 1u);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let block = group.y * groups.x + group.x;
    let live = block < p.blocks;
    let first = (min(block, p.blocks) * WORKGROUP + thread) * PER;
    let end = select(0u, min(first + PER, p.count), live);
    for (var d = 0u; d < DIGITS; d++) {
        places[d * WORKGROUP + thread] = 0u;
    }
    for (var i = first; i < end; i++) {
        places[digit(pairs[i]) * WORKGROUP + thread] += 1u;
    }
    workgroupBarrier();
    if thread < DIGITS {
        var sum = 0u;
        if PLACE == 1u && live {
            sum = before(thread * p.blocks + block);
        }
        for (var t = 0u; t < WORKGROUP; t++) {
            let own = places[thread * WORKGROUP + t];
            places[thread * WORKGROUP + t] = sum;
            sum += own;
        }
        if PLACE == 0u && live {
            store_count(thread * p.blocks + block, sum);
        }
    }
    workgroupBarrier();
    if PLACE == 1u {
        for (var i = first; i < end; i++) {
            let pair = pairs[i];
            let at = digit(pair) * WORKGROUP + thread;
            put(places[at], pair);
            places[at] += 1u;
        }
    }
}
