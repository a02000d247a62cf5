// Cumulative sums of rows: y[j] = Σ_{i ≤ j} x[i], or from the end.
//
// LANES threads share a segment of a row. In an iteration each takes four neighbouring elements and adds them up, the
// threads' totals are scanned in workgroup memory, and the total of all is carried to the next iteration.
//
// Layout: dense x and y [rows, columns]; totals and the sums before segments [rows, segments]; each from an offset.
//   Segments and elements are counted in the scan's direction.
// Bindings: 0 the sizes, 1 `x`, then the sums before segments if there are such, then `y` (or the totals).
// Constants:
//   WORKGROUP  threads a workgroup: a power of two up to 256.
//   LANES      threads that share a segment: a power of two up to WORKGROUP.
//   REVERSE    1: from the end.
//   TOTALS     1: only each segment's total is stored.
//   T, A, Y    the element types of x, of sums, and of y: T and Y f32, f16, u32 or i32; A f32, u32 or i32.
// Bounds: threads beyond the last segment compute that one and do not store it; elements beyond a segment's last are 0.

const WORKGROUP: u32 = 256u;
const LANES: u32 = 256u;
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

var<workgroup> sums: array<A, WORKGROUP>;

// Where the row's j-th element in the scan's direction is.
fn place(row: u32, j: u32) -> u32 {
    return row * p.columns + select(j, p.columns - 1u - j, REVERSE == 1u);
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
    for (var start = 0u; start < p.length; start += 4u * LANES) {
        let first = segment * p.length + start + 4u * lane;
        var own: array<A, 4>;
        var sum = A();
        for (var k = 0u; k < 4u; k++) {
            if first + k < end {
                sum += A(x[p.x_offset + place(row, first + k)]);
            }
            own[k] = sum;
        }
        sums[thread] = sum;
        for (var step = 1u; step < LANES; step *= 2u) {
            workgroupBarrier();
            var other = A();
            if lane >= step {
                other = sums[thread - step];
            }
            workgroupBarrier();
            sum += other;
            sums[thread] = sum;
        }
        workgroupBarrier();
        var earlier = carry;
        if lane > 0u {
            earlier += sums[thread - 1u];
        }
        carry += sums[thread - lane + LANES - 1u];
        workgroupBarrier();
        if TOTALS == 0u && live {
            for (var k = 0u; k < 4u; k++) {
                if first + k < end {
                    y[p.y_offset + place(row, first + k)] = Y(earlier + own[k]);
                }
            }
        }
    }
    if TOTALS == 1u && live && lane == 0u {
        y[p.y_offset + unit] = Y(carry);
    }
}
