// Where the k largest (or smallest) elements of each row are, in order; among equal ones the first comes first, and a
// NaN is larger than any number.
//
// For few elements of a row, or more than `topk_select.wgsl` sorts. Elements are compared by keys, unsigned integers
// in the same order. LANES threads share a row: k times each looks through its part for the best element that comes
// after the last one found, and these are joined as a tree.
//
// Layout: dense x [rows, columns] and indices [rows, k], each from an offset.
// Bindings: 0 the sizes, 1 `x`, 2 `indices`.
// Constants:
//   WORKGROUP  threads a workgroup: a power of two up to 256.
//   LANES      threads that share a row: a power of two up to WORKGROUP.
//   LARGEST    1: the largest first; 0: the smallest.
//   T          the element type: f32, f16, u32 or i32; for integers the function `key` is another.
// Bounds: threads beyond the last row compute that one and do not store it; elements beyond a row's last do not count.

const WORKGROUP: u32 = 64u;
const LANES: u32 = 64u;
const LARGEST: u32 = 1u;
alias T = f32;

struct Params {
    rows: u32, columns: u32, k: u32, x_offset: u32,
    y_offset: u32, unused0: u32, unused1: u32, unused2: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<T>;
@group(0) @binding(2) var<storage, read_write> indices: array<u32>;

var<workgroup> keys: array<u32, WORKGROUP>;
var<workgroup> places: array<u32, WORKGROUP>;

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

struct Best {
    key: u32,
    place: u32,
}

// Whether an element comes before another; nowhere is last.
fn precedes(a: Best, b: Best) -> bool {
    if b.place == NOWHERE || a.place == NOWHERE {
        return a.place != NOWHERE;
    }
    if a.key == b.key {
        return a.place < b.place;
    }
    return a.key > b.key;
}

// The better of `best` and the element at `j`, if that comes after the last one found.
fn look(best: Best, last: Best, row: u32, j: u32) -> Best {
    if j >= p.columns {
        return best;
    }
    let found = key(x[p.x_offset + row * p.columns + j]);
    let candidate = Best(select(~found, found, LARGEST == 1u), j);
    if (last.place == NOWHERE || precedes(last, candidate)) && precedes(candidate, best) {
        return candidate;
    }
    return best;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let lane = thread % LANES;
    let number = (group.y * groups.x + group.x) * (WORKGROUP / LANES) + thread / LANES;
    let row = min(number, p.rows - 1u);
    var last = Best(0u, NOWHERE);
    for (var n = 0u; n < p.k; n++) {
        var best = Best(0u, NOWHERE);
        // Four an iteration: Mesa's lavapipe ends a thread's loops after 65,535 iterations in all.
        for (var j = lane; j < p.columns; j += 4u * LANES) {
            best = look(best, last, row, j);
            best = look(best, last, row, j + LANES);
            best = look(best, last, row, j + 2u * LANES);
            best = look(best, last, row, j + 3u * LANES);
        }
        keys[thread] = best.key;
        places[thread] = best.place;
        for (var half = LANES / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if lane < half {
                let other = Best(keys[thread + half], places[thread + half]);
                if precedes(other, Best(keys[thread], places[thread])) {
                    keys[thread] = other.key;
                    places[thread] = other.place;
                }
            }
        }
        workgroupBarrier();
        last = Best(keys[thread - lane], places[thread - lane]);
        workgroupBarrier();
        if lane == 0u && number < p.rows {
            indices[p.y_offset + row * p.k + n] = last.place;
        }
    }
}
