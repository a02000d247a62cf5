//! Dispatch to the widest vector instruction set of the processor, at run time.

use pulp::{Arch, Simd, WithSimd};

/// Runs `f` compiled for the widest vector instructions of this processor. `f` and all it calls must be inlined:
/// functions that are not inlined are compiled for the baseline target.
#[inline]
pub(super) fn fast<R>(f: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(f)
}

/// The number of `f32` lanes of a vector register on this processor.
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
