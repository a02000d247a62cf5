// Where the k largest (or smallest) elements of each row are, in order; among equal ones the first comes first, and a
// NaN is larger than any number. For k up to MOST; `topk.wgsl` is for fewer than a handful.
//
// Elements are compared by (key, ~place), 64 bits that no two share: keys are unsigned integers in the elements'
// order. The k-th largest is found by radix select: eight bits a round, from the highest on, the elements with the
// digits chosen so far are counted by their next digit, and the digit chosen is the one the k-th falls in. Rounds end
// once all that are left are taken. Then the k elements are gathered, in any order, and sorted (a bitonic sort), so
// the result is the same every time. A workgroup takes a row, or a part of a long one: then it stores its k
// candidates, and another dispatch chooses among the candidates of a row.
//
// Layout: dense x [rows, columns] and indices [rows, k], each from an offset; candidates [rows, parts, k] from 0.
// Bindings: 0 the sizes, 1 `x` (or candidates), 2 `indices` (or candidates).
// Constants:
//   MOST       a power of two, k or more; 8 · MOST bytes of workgroup memory, at most 1024.
//   LARGEST    1: the largest first; 0: the smallest.
//   T          the element type: f32, f16, u32 or i32; for integers the function `key` is another.
// Regions: `element` and `store` are replaced where candidates are read or stored.
// Bounds: a workgroup beyond the last part does the last one again and stores nothing; elements from a part's end on
//   are not read. A part of fewer than k elements has fewer candidates, and (0, NOWHERE), which comes last, for the
//   others. As many elements are gathered as were counted, at most k.

const WORKGROUP: u32 = 256u;
const MOST: u32 = 64u;
const LARGEST: u32 = 1u;
alias T = f32;

struct Params {
    rows: u32, columns: u32, k: u32, parts: u32,
    length: u32, x_offset: u32, y_offset: u32, unused: u32,
}

@group(0) @binding(0) var<uniform> p: Params;

const NOWHERE: u32 = 0xffffffffu;

// [key]
// The bits of a positive float are in order; those of a negative one the other way round.
fn key(value: T) -> u32 {
    let bits = bitcast<u32>(f32(value));
    let size = bits & 0x7fffffffu;
    if size > 0x7f800000u {
        return 0xffffffffu;
    }
    // The two zeros are equal.
    if bits >= 0x80000000u {
        return 0x80000000u - size;
    }
    return 0x80000000u + size;
}
// [end]

// [element]
@group(0) @binding(1) var<storage, read> x: array<T>;
// The key of a row's j-th element, and its place.
fn element(row: u32, j: u32) -> vec2<u32> {
    let found = key(x[p.x_offset + row * p.columns + j]);
    return vec2<u32>(select(~found, found, LARGEST == 1u), j);
}
// [end]

// [store]
@group(0) @binding(2) var<storage, read_write> indices: array<u32>;
fn store(i: u32, found: vec2<u32>) {
    indices[p.y_offset + i] = found.y;
}
// [end]

var<workgroup> counts: array<atomic<u32>, WORKGROUP>;
var<workgroup> sums: array<u32, WORKGROUP>;
// The digit chosen, how many of it are wanted, and whether those are all there are.
var<workgroup> chosen: vec3<u32>;
var<workgroup> taken: atomic<u32>;
var<workgroup> found: array<vec2<u32>, MOST>;

// The digits chosen so far, in their places.
struct Prefix {
    round: u32,
    bits: vec2<u32>,
}

// Counts an element whose higher digits are those chosen.
fn count(row: u32, j: u32, end: u32, prefix: Prefix) {
    if j >= end {
        return;
    }
    let e = element(row, j);
    let word = select(e.x, ~e.y, prefix.round >= 4u);
    let wanted = select(prefix.bits.x, prefix.bits.y, prefix.round >= 4u);
    let digits = prefix.round % 4u;
    let higher = digits == 0u || (word >> (32u - 8u * max(digits, 1u))) == (wanted >> (32u - 8u * max(digits, 1u)));
    if higher && (prefix.round < 4u || e.x == prefix.bits.x) {
        atomicAdd(&counts[(word >> (24u - 8u * digits)) & 255u], 1u);
    }
}

fn gather(row: u32, j: u32, end: u32, least: vec2<u32>) {
    if j >= end {
        return;
    }
    let e = element(row, j);
    if e.x > least.x || (e.x == least.x && ~e.y >= least.y) {
        let slot = atomicAdd(&taken, 1u);
        if slot < MOST {
            found[slot] = e;
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let number = group.y * groups.x + group.x;
    let unit = min(number, p.rows * p.parts - 1u);
    let row = unit / p.parts;
    let start = unit % p.parts * p.length;
    let end = min(start + p.length, p.columns);
    var wanted = min(p.k, end - start);
    var prefix = Prefix(0u, vec2<u32>());
    var done = false;
    for (var round = 0u; round < 8u; round++) {
        atomicStore(&counts[thread], 0u);
        workgroupBarrier();
        if !done {
            // Four an iteration: Mesa's lavapipe ends a thread's loops after 65,535 iterations in all.
            for (var j = start + thread; j < end; j += 4u * WORKGROUP) {
                count(row, j, end, prefix);
                count(row, j + WORKGROUP, end, prefix);
                count(row, j + 2u * WORKGROUP, end, prefix);
                count(row, j + 3u * WORKGROUP, end, prefix);
            }
        }
        workgroupBarrier();
        // How many have this digit or a higher one.
        let own = atomicLoad(&counts[thread]);
        var sum = own;
        sums[thread] = sum;
        for (var step = 1u; step < WORKGROUP; step *= 2u) {
            workgroupBarrier();
            var other = 0u;
            if thread + step < WORKGROUP {
                other = sums[thread + step];
            }
            workgroupBarrier();
            sum += other;
            sums[thread] = sum;
        }
        if !done && sum >= wanted && sum - own < wanted {
            let rest = wanted - (sum - own);
            chosen = vec3<u32>(thread, rest, select(0u, 1u, rest == own));
        }
        workgroupBarrier();
        if !done {
            let digit = chosen.x << (24u - 8u * (round % 4u));
            if round < 4u {
                prefix.bits.x |= digit;
            } else {
                prefix.bits.y |= digit;
            }
            prefix.round = round + 1u;
            wanted = chosen.y;
            done = chosen.z == 1u;
        }
        workgroupBarrier();
    }
    if thread == 0u {
        atomicStore(&taken, 0u);
    }
    for (var i = thread; i < MOST; i += WORKGROUP) {
        found[i] = vec2<u32>(0u, NOWHERE);
    }
    workgroupBarrier();
    for (var j = start + thread; j < end; j += 4u * WORKGROUP) {
        gather(row, j, end, prefix.bits);
        gather(row, j + WORKGROUP, end, prefix.bits);
        gather(row, j + 2u * WORKGROUP, end, prefix.bits);
        gather(row, j + 3u * WORKGROUP, end, prefix.bits);
    }
    for (var size = 2u; size <= MOST; size *= 2u) {
        for (var apart = size / 2u; apart > 0u; apart /= 2u) {
            workgroupBarrier();
            for (var i = thread; i < MOST / 2u; i += WORKGROUP) {
                let low = i / apart * (2u * apart) + i % apart;
                let high = low + apart;
                let a = found[low];
                let b = found[high];
                let before = a.x > b.x || (a.x == b.x && a.y < b.y);
                // Runs of `size` alternately descend and ascend.
                if before == ((low & size) != 0u) {
                    found[low] = b;
                    found[high] = a;
                }
            }
        }
    }
    workgroupBarrier();
    if number == unit {
        for (var i = thread; i < p.k; i += WORKGROUP) {
            store(unit * p.k + i, found[min(i, MOST - 1u)]);
        }
    }
}
