//! Code compiled for what this machine has.

use pulp::{Arch, Simd, WithSimd};

/// Runs `f` as compiled for the widest vector unit of this machine. `f` and what it calls must be inlined.
#[inline]
pub(super) fn fast<R>(f: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(f)
}

/// `f32` elements of a vector on this machine.
pub(super) fn lane_count() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    Arch::new().dispatch(Lanes)
}
