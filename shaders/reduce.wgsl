// Reduction: out[o] = ⊕_i f(o, i) for o over the kept points and i over the reduced ones; ⊕ is sum, mean, max, min,
// argmax or argmin.
//
// The reduced points may be cut into parts of equal length, whose results are stored as [parts, outputs] and reduced by
// another dispatch. A unit is one part of one output.
//
// This file is a template. The planner replaces the region `bindings` (also by the helpers of `elementwise.wgsl`), the
// region `value` by the fused expression whose results are reduced, and the region `store`; as committed, it sums rows.
// `store_place` is replaced where a part's result is stored with its place, and `place` where such are reduced.
//
// Layout: views as in `elementwise.wgsl`, over kept and reduced axes; the output is dense from an offset.
// Bindings: 0 the uniform `params`, storage buffers b0, b1, … from 1 on. `params` holds kept points, reduced points,
//   points of a part, units, the terms of a mean, axis sizes, and for each operand its offset and strides.
// Constants:
//   WORKGROUP  threads a workgroup: a power of two up to 256.
//   LANES      threads that share a unit: a power of two up to WORKGROUP.
//   SPREAD     1: neighbouring threads take neighbouring outputs; 0: neighbouring reduced points.
//   KIND       0 sum, 1 mean, 2 max, 3 min, 4 argmax, 5 argmin.
//   TOGETHER   8: a thread takes eight terms an iteration, which on a GPU are loaded without waiting for one before the
//              next; and for many terms (Mesa's lavapipe ends a thread's loops after 65,535 iterations in all, whatever
//              the program says). 1: one after the other.
//   T          the type that is reduced: f32, u32 or i32.
// Accuracy: a thread adds blocks of 32 (or 8) terms and then the blocks' sums; the threads' sums are added as a tree.
// Order: argmax and argmin give the first index: within a thread indices ascend and only a strictly better value
//   replaces the best; between threads, and between parts, a tie goes to the lower index.
// Bounds: threads beyond the last unit compute the last one and do not store it. Terms beyond a part's last are not
//   added; the part's last term is read again, or of a maximum the last of all where a part is empty, which changes no
//   maximum.

const WORKGROUP: u32 = 256u;
const LANES: u32 = 256u;
const SPREAD: u32 = 0u;
const KIND: u32 = 0u;
const TOGETHER: u32 = 1u;
const SLOTS: u32 = WORKGROUP / LANES;
const BLOCK: u32 = 32u;
alias T = f32;

// [bindings]
@group(0) @binding(0) var<uniform> params: array<vec4<u32>, 2>;
@group(0) @binding(1) var<storage, read> b0: array<f32>;
@group(0) @binding(2) var<storage, read_write> b1: array<f32>;
// [end]

var<workgroup> values: array<T, WORKGROUP>;
var<workgroup> places: array<u32, WORKGROUP>;

// The reduced expression at a point.
fn value(o: u32, i: u32) -> T {
    // [value]
    return b0[params[1].y + o * params[0].y + i];
    // [end]
}

fn store(o: u32, v: T, place: u32) {
    // [store]
    b1[params[1].z + o] = v;
    // [end]
}

// Keeps where a part's result was found.
fn store_place(o: u32, place: u32) {
    // [store_place]
    // [end]
}

// The index of the value at a reduced point.
fn index(o: u32, i: u32) -> u32 {
    // [place]
    return i;
    // [end]
}

// Whether the value `a` at `i` beats the value `b` at `j`.
fn wins(a: T, i: u32, b: T, j: u32) -> bool {
    if a == b {
        return i < j;
    }
    // Parentheses keep `<` and `>` from being read as a template list.
    return select((a < b), (a > b), KIND == 2u || KIND == 4u);
}

struct Best {
    value: T,
    place: u32,
}

// The better of `best` and the value at `i`; from `end` on, the last term again.
fn better(o: u32, i: u32, end: u32, best: Best) -> Best {
    let place = min(i, end - 1u);
    let candidate = value(o, place);
    if wins(candidate, place, best.value, best.place) {
        return Best(candidate, place);
    }
    return best;
}

// The value at `i`; zero from `end` on.
fn term(o: u32, i: u32, end: u32) -> T {
    // Not a branch, before which loads would have to end.
    return select(T(), value(o, min(i, end - 1u)), i < end);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let outer = params[0].x;
    let inner = params[0].y;
    let units = params[0].w;
    let lane = select(thread % LANES, thread / SLOTS, SPREAD == 1u);
    let slot = select(thread / LANES, thread % SLOTS, SPREAD == 1u);
    let number = (group.y * groups.x + group.x) * SLOTS + slot;
    let unit = min(number, units - 1u);
    let o = unit % outer;
    let start = min(unit / outer * params[0].z, inner);
    let end = min(start + params[0].z, inner);
    var best = Best(T(), 0u);
    if KIND <= 1u {
        var i = start + lane;
        while i < end {
            var block = T();
            if TOGETHER > 1u {
                block = ((term(o, i, end) + term(o, i + LANES, end))
                    + (term(o, i + 2u * LANES, end) + term(o, i + 3u * LANES, end)))
                    + ((term(o, i + 4u * LANES, end) + term(o, i + 5u * LANES, end))
                    + (term(o, i + 6u * LANES, end) + term(o, i + 7u * LANES, end)));
                i += 8u * LANES;
            } else {
                for (var k = 0u; k < BLOCK && i < end; k++) {
                    block += value(o, i);
                    i += LANES;
                }
            }
            best.value += block;
        }
    } else {
        // Of an empty part too, a value that the output has.
        let last = max(end, 1u) - 1u;
        let first = min(start + lane, last);
        best = Best(value(o, first), first);
        var i = start + lane + LANES;
        while i < end {
            best = better(o, i, end, best);
            i += LANES;
            if TOGETHER > 1u {
                best = better(o, i, end, best);
                best = better(o, i + LANES, end, best);
                best = better(o, i + 2u * LANES, end, best);
                best = better(o, i + 3u * LANES, end, best);
                best = better(o, i + 4u * LANES, end, best);
                best = better(o, i + 5u * LANES, end, best);
                best = better(o, i + 6u * LANES, end, best);
                i += 7u * LANES;
            }
        }
    }
    if LANES > 1u {
        values[thread] = best.value;
        places[thread] = best.place;
        for (var half = LANES / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if lane < half {
                let other = thread + half * select(1u, SLOTS, SPREAD == 1u);
                if KIND <= 1u {
                    best.value += values[other];
                } else if wins(values[other], places[other], best.value, best.place) {
                    best = Best(values[other], places[other]);
                }
                values[thread] = best.value;
                places[thread] = best.place;
            }
        }
    }
    if lane == 0u && number < units {
        let place = index(o, best.place);
        store(unit, best.value, place);
        store_place(unit, place);
    }
}
