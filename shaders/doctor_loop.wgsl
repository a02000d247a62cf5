// Long loops: does a thread make all its turns?
//
// Bindings: 0 `turns`, those each thread is to make, 1 `out`: after so many turns of a generator of random numbers, its state,
// which cannot be had without making them, and the number of turns made; two words a thread.
// Entry points: `main` makes them in one loop, `nested` in loops of INNER turns.
// Constants:
//   INNER  turns of an inner loop.

const INNER: u32 = 500u;

@group(0) @binding(0) var<storage, read> turns: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;

fn step(state: u32) -> u32 {
    return state * 1664525u + (1013904223u ^ (state >> 15u));
}

@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) group: vec3<u32>) {
    let wanted = turns[group.x];
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
    let wanted = turns[group.x];
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
