// Cumulative sums of rows: y[j] = Σ_{i ≤ j} x[i], or from the end.
//
// LANES threads share a segment of a row. In an iteration each takes 4·FOURS neighbouring elements and adds them up, the
// threads' totals are scanned in workgroup memory, and the total of all is carried to the next iteration.
//
// Layout: dense x and y [rows, columns]; totals and the sums before segments [rows, segments]; each from an offset.
//   Segments and elements are counted in the scan's direction.
// Bindings: 0 the sizes, 1 `x`, then the sums before segments if there are such, then `y` (or the totals).
// Constants:
//   WORKGROUP  threads a workgroup: a power of two up to 256.
//   LANES      threads that share a segment: a power of two up to WORKGROUP.
//   FOURS      1 or 4.
//   REVERSE    1: from the end.
//   TOTALS     1: only each segment's total is stored.
//   T, A, Y    the element types of x, of sums, and of y: T and Y f32, f16, u32 or i32; A f32, u32 or i32.
// Bounds: threads beyond the last segment compute that one and do not store it; elements beyond a segment's last are 0,
//   and the segment's last is read in their place, or the row's first where it is empty.

const WORKGROUP: u32 = 256u;
const LANES: u32 = 256u;
const FOURS: u32 = 1u;
const REVERSE: u32 = 0u;
const TOTALS: u32 = 0u;
alias T = f32;
alias A = f32;
alias Y = f32;

struct Params {
    units: u32, columns: u32, length: u32, segments: u32,
    x_offset: u32, y_offset: u32, before_offset: u32, unused: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<T>;
// [before]
@group(0) @binding(2) var<storage, read> before: array<A>;
@group(0) @binding(3) var<storage, read_write> y: array<Y>;
// The sum of the row's segments before this one.
fn sum_before(unit: u32, segment: u32) -> A {
    if segment == 0u {
        return A();
    }
    return before[p.before_offset + unit - 1u];
}
// [end]

var<workgroup> sums: array<A, 2u * WORKGROUP>;

// Where the row's j-th element in the scan's direction is.
fn place(row: u32, j: u32) -> u32 {
    return row * p.columns + select(j, p.columns - 1u - j, REVERSE == 1u);
}

// The sums of four neighbouring elements: of one, two, three, and all of them.
fn four(row: u32, first: u32, end: u32) -> vec4<A> {
    let js = vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u);
    let inside = js < vec4<u32>(end);
    let at = min(js, vec4<u32>(max(end, 1u) - 1u));
    let values = vec4<A>(one(row, at.x), one(row, at.y), one(row, at.z), one(row, at.w));
    let kept = select(vec4<A>(), values, inside);
    let two = kept.x + kept.y;
    let three = two + kept.z;
    return vec4<A>(kept.x, two, three, three + kept.w);
}

fn one(row: u32, j: u32) -> A {
    return A(x[p.x_offset + place(row, j)]);
}

fn put(row: u32, first: u32, end: u32, values: vec4<A>) {
    if first < end {
        y[p.y_offset + place(row, first)] = Y(values.x);
    }
    if first + 1u < end {
        y[p.y_offset + place(row, first + 1u)] = Y(values.y);
    }
    if first + 2u < end {
        y[p.y_offset + place(row, first + 2u)] = Y(values.z);
    }
    if first + 3u < end {
        y[p.y_offset + place(row, first + 3u)] = Y(values.w);
    }
}

// Leaves in `sums` what the threads that share a segment add up to, up to each, from the place on that is returned. A step
// reads one half of `sums` and writes the other.
fn add_up(thread: u32, lane: u32, own: A) -> u32 {
    var sum = own;
    var half = 0u;
    sums[thread] = sum;
    for (var step = 1u; step < LANES; step *= 2u) {
        workgroupBarrier();
        if lane >= step {
            sum += sums[half + thread - step];
        }
        half = WORKGROUP - half;
        sums[half + thread] = sum;
    }
    workgroupBarrier();
    return half;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let lane = thread % LANES;
    let number = (group.y * groups.x + group.x) * (WORKGROUP / LANES) + thread / LANES;
    let live = number < p.units;
    let unit = min(number, p.units - 1u);
    let segment = unit % p.segments;
    let row = unit / p.segments;
    let end = min((segment + 1u) * p.length, p.columns);
    var carry = sum_before(unit, segment);
    var total = A();
    for (var start = 0u; start < p.length; start += 4u * FOURS * LANES) {
        let first = segment * p.length + start + 4u * FOURS * lane;
        let s0 = four(row, first, end);
        var s1 = vec4<A>();
        var s2 = vec4<A>();
        var s3 = vec4<A>();
        var own = s0.w;
        if FOURS > 1u {
            s1 = four(row, first + 4u, end) + vec4<A>(s0.w);
            s2 = four(row, first + 8u, end) + vec4<A>(s1.w);
            s3 = four(row, first + 12u, end) + vec4<A>(s2.w);
            own = s3.w;
        }
        if TOTALS == 1u {
            total += own;
        } else {
            let half = add_up(thread, lane, own);
            var earlier = carry;
            if lane > 0u {
                earlier += sums[half + thread - 1u];
            }
            carry += sums[half + thread - lane + LANES - 1u];
            workgroupBarrier();
            if live {
                put(row, first, end, s0 + vec4<A>(earlier));
                if FOURS > 1u {
                    put(row, first + 4u, end, s1 + vec4<A>(earlier));
                    put(row, first + 8u, end, s2 + vec4<A>(earlier));
                    put(row, first + 12u, end, s3 + vec4<A>(earlier));
                }
            }
        }
    }
    if TOTALS == 1u {
        let half = add_up(thread, lane, total);
        if live && lane == 0u {
            y[p.y_offset + unit] = Y(sums[half + thread + LANES - 1u]);
        }
    }
}
