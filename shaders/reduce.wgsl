// Reduction: out[o] = ⊕_i f(o, i) for o over the kept points and i over the reduced ones; ⊕ is sum, mean, max, min,
// argmax or argmin.
//
// This file is a template. The planner replaces the region `bindings` (also by the helpers of `elementwise.wgsl`), the
// region `value` by the fused expression whose results are reduced, and the region `store`; as committed, it sums rows.
//
// Layout: views as in `elementwise.wgsl`, over kept and reduced axes; the output is dense from an offset.
// Bindings: 0 the uniform `params`, storage buffers b0, b1, … from 1 on. `params` holds kept points, reduced points, axis
//   sizes, and for each operand its offset and strides.
// Constants:
//   WORKGROUP  threads a workgroup: a power of two up to 256.
//   LANES      threads that share an output: a power of two up to WORKGROUP.
//   SPREAD     1: neighbouring threads take neighbouring outputs; 0: neighbouring reduced points.
//   KIND       0 sum, 1 mean, 2 max, 3 min, 4 argmax, 5 argmin.
//   LONG       1: a thread takes eight terms a turn, for many terms (Mesa's lavapipe ends a thread's loops after 65,535
//              turns in all, whatever the program says).
//   T          the type that is reduced: f32, u32 or i32.
// Accuracy: a lane adds blocks of 32 (or 8) terms and then the blocks' sums; the lanes' sums are added as a tree.
// Order: argmax and argmin give the first index: within a lane indices ascend and only a strictly better value
//   replaces the best; between lanes a tie goes to the lower index.
// Bounds: lanes without an output or without a term take the last or first one and do not store or add it.

const WORKGROUP: u32 = 256u;
const LANES: u32 = 256u;
const SPREAD: u32 = 0u;
const KIND: u32 = 0u;
const LONG: u32 = 0u;
const SLOTS: u32 = WORKGROUP / LANES;
const BLOCK: u32 = 32u;
alias T = f32;

// [bindings]
@group(0) @binding(0) var<uniform> params: array<vec4<u32>, 1>;
@group(0) @binding(1) var<storage, read> b0: array<f32>;
@group(0) @binding(2) var<storage, read_write> b1: array<f32>;
// [end]

var<workgroup> values: array<T, WORKGROUP>;
var<workgroup> places: array<u32, WORKGROUP>;

// The reduced expression at a point.
fn value(o: u32, i: u32) -> T {
    // [value]
    return b0[params[0].z + o * params[0].y + i];
    // [end]
}

fn store(o: u32, v: T, place: u32) {
    // [store]
    b1[params[0].w + o] = v;
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

// The better of `best` and the value at `i`; beyond the last term, the last term again.
fn better(o: u32, i: u32, inner: u32, best: Best) -> Best {
    let place = min(i, inner - 1u);
    let candidate = value(o, place);
    if wins(candidate, place, best.value, best.place) {
        return Best(candidate, place);
    }
    return best;
}

// The value at `i`; zero beyond the last term.
fn term(o: u32, i: u32, inner: u32) -> T {
    if i < inner {
        return value(o, i);
    }
    return T();
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let outer = params[0].x;
    let inner = params[0].y;
    let lane = select(thread % LANES, thread / SLOTS, SPREAD == 1u);
    let slot = select(thread / LANES, thread % SLOTS, SPREAD == 1u);
    let output = (group.y * groups.x + group.x) * SLOTS + slot;
    let o = min(output, outer - 1u);
    var best = Best(T(), 0u);
    if KIND <= 1u {
        var i = lane;
        while i < inner {
            var block = T();
            if LONG == 1u {
                block = ((term(o, i, inner) + term(o, i + LANES, inner))
                    + (term(o, i + 2u * LANES, inner) + term(o, i + 3u * LANES, inner)))
                    + ((term(o, i + 4u * LANES, inner) + term(o, i + 5u * LANES, inner))
                    + (term(o, i + 6u * LANES, inner) + term(o, i + 7u * LANES, inner)));
                i += 8u * LANES;
            } else {
                for (var k = 0u; k < BLOCK && i < inner; k++) {
                    block += value(o, i);
                    i += LANES;
                }
            }
            best.value += block;
        }
    } else {
        let first = min(lane, inner - 1u);
        best = Best(value(o, first), first);
        var i = lane + LANES;
        while i < inner {
            best = better(o, i, inner, best);
            i += LANES;
            if LONG == 1u {
                best = better(o, i, inner, best);
                best = better(o, i + LANES, inner, best);
                best = better(o, i + 2u * LANES, inner, best);
                best = better(o, i + 3u * LANES, inner, best);
                best = better(o, i + 4u * LANES, inner, best);
                best = better(o, i + 5u * LANES, inner, best);
                best = better(o, i + 6u * LANES, inner, best);
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
    if lane == 0u && output < outer {
        store(o, best.value, best.place);
    }
}
