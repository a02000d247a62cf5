// Long loops: does a thread run all its iterations?
//
// Bindings: 0 `iterations`, those each thread is to run, 1 `out`: after so many steps of a generator of random
// numbers, its state, which cannot be computed without them, and the number of iterations run; two words a thread.
// Entry points: `main` runs them in one loop, `nested` in loops of INNER iterations.
// Constants:
//   INNER  iterations of an inner loop.

const INNER: u32 = 500u;

@group(0) @binding(0) var<storage, read> iterations: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;

fn step(state: u32) -> u32 {
    return state * 1664525u + (1013904223u ^ (state >> 15u));
}

@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) group: vec3<u32>) {
    let wanted = iterations[group.x];
    var state = group.x;
    var made = 0u;
    while made < wanted {
        state = step(state);
        made++;
    }
    out[2u * group.x] = state;
    out[2u * group.x + 1u] = made;
}

@compute @workgroup_size(1)
fn nested(@builtin(workgroup_id) group: vec3<u32>) {
    let wanted = iterations[group.x];
    var state = group.x;
    var made = 0u;
    for (var outer = 0u; outer < wanted; outer += INNER) {
        for (var inner = 0u; inner < INNER; inner++) {
            state = step(state);
            made++;
        }
    }
    out[2u * group.x] = state;
    out[2u * group.x + 1u] = made;
}
