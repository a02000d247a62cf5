//! Multi-threading of kernels.
//!
//! The process has one thread pool, with one thread per core. The environment variable `WGRAD_THREADS`, read once,
//! sets another number; 1 runs everything on the calling thread. How work is split does not depend on
//! which threads are idle, and the order of a summation does not depend on the number of threads: results are bitwise
//! identical for any number of them.
//!
//! A launch of a few microseconds is too short to be worth waking a sleeping thread. During a parallel region (a run of
//! several steps) the other threads of the pool therefore spin and poll for work. Work that runs concurrently with a
//! region on a thread outside the pool reserves a core, and the region then keeps one thread fewer spinning.

use rayon::{ThreadPool, ThreadPoolBuilder, Yield};
use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// The least work, in floating-point operations or others that take as long, for which handing part of it to a spinning
/// thread is worthwhile.
const MIN_FLOPS_SPINNING: usize = 400_000;
/// The same for threads that must be woken.
const MIN_FLOPS_SLEEPING: usize = 20_000_000;
/// The maximum number of parts that work is split into.
pub(crate) const MOST: usize = 16;
/// Unsuccessful polls after which a spinning thread yields its core.
const SPIN_LIMIT: u32 = 1 << 12;

/// The thread pool; `None` if everything runs on the calling thread.
fn pool() -> Option<&'static ThreadPool> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    let make = || {
        let requested = std::env::var("WGRAD_THREADS").ok().and_then(|n| n.parse().ok()).filter(|&n| n > 0);
        let threads = requested.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
        // If no threads can be started, everything runs on the calling thread.
        let build = || ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("wgrad-{i}")).build().ok();
        if threads > 1 { build() } else { None }
    };
    POOL.get_or_init(make).as_ref()
}

/// The number of threads of the pool; 1 without a pool.
pub fn count() -> usize {
    pool().map_or(1, ThreadPool::current_num_threads)
}

/// Threads of the pool that spin, polling for work.
static SPINNING_THREADS: AtomicUsize = AtomicUsize::new(0);
/// Cores reserved by threads outside the pool.
static BESIDE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static IS_BESIDE: Cell<bool> = const { Cell::new(false) };
}

/// Reserves a core for a thread outside the pool that runs concurrently with a region: until it is dropped, new regions
/// keep one thread fewer spinning.
#[derive(Debug)]
pub(crate) struct Beside(());

impl Beside {
    pub(crate) fn new() -> Self {
        BESIDE.fetch_add(1, Ordering::AcqRel);
        Beside(())
    }

    /// Runs `f` on this thread; its launches use the pool only if they are large enough to wake sleeping threads.
    pub(crate) fn run<R>(self, f: impl FnOnce() -> R) -> R {
        IS_BESIDE.set(true);
        let result = f();
        IS_BESIDE.set(false);
        result
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        BESIDE.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Runs `f` on a thread of the pool while the other threads spin, polling for work.
pub(super) fn region<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    let Some(pool) = pool().filter(|_| !IS_BESIDE.get()) else { return f() };
    let others = (pool.current_num_threads() - 1).saturating_sub(BESIDE.load(Ordering::Acquire));
    if others == 0 {
        // No other thread would spin. Moving to a thread of the pool has no benefit, and it might share a core with the
        // thread outside the pool.
        return f();
    }
    let active = Arc::new(AtomicBool::new(true));
    for _ in 0..others {
        let active = Arc::clone(&active);
        pool.spawn(move || poll_for_work(&active));
    }
    /// Stops the spinning threads, also if a kernel panics.
    struct StopSpinning(Arc<AtomicBool>, usize);
    impl Drop for StopSpinning {
        fn drop(&mut self) {
            self.0.store(false, Ordering::Release);
            SPINNING_THREADS.fetch_sub(self.1, Ordering::AcqRel);
        }
    }
    SPINNING_THREADS.fetch_add(others, Ordering::AcqRel);
    let _stop = StopSpinning(active, others);
    pool.install(f)
}

/// Runs jobs of the pool until the region ends.
fn poll_for_work(active: &AtomicBool) {
    let mut idle = 0;
    while active.load(Ordering::Acquire) {
        if matches!(rayon::yield_now(), Some(Yield::Executed)) {
            idle = 0;
            continue;
        }
        idle += 1;
        std::hint::spin_loop();
        if idle > SPIN_LIMIT {
            std::thread::yield_now();
        }
    }
}

/// The number of parts to split work of `flops` floating-point operations into: a power of two (1 included), with at
/// least half of [`MIN_FLOPS_SPINNING`] per part. It does not depend on the number of threads.
pub(super) fn parts(flops: usize, most: usize) -> usize {
    let parts = (flops / (MIN_FLOPS_SPINNING / 2)).clamp(1, most.max(1));
    1 << parts.ilog2()
}

/// Splits `out` into `parts` consecutive blocks of whole units of `unit` elements, as even as possible, and calls
/// `f(index of the block's first unit, block)` for each: on several threads if `flops` is large enough.
pub(crate) fn split<T: Send>(
    out: &mut [T],
    unit: usize,
    parts: usize,
    flops: usize,
    f: &(impl Fn(usize, &mut [T]) + Sync),
) {
    let units = out.len() / unit.max(1);
    let parts = parts.clamp(1, units.max(1));
    let blocks = Blocks { units, parts, unit };
    let Some(pool) = pool().filter(|_| parts > 1 && flops >= MIN_FLOPS_SPINNING) else {
        return blocks.each(out, 0..parts, false, f);
    };
    let in_region = pool.current_thread_index().is_some();
    if in_region && SPINNING_THREADS.load(Ordering::Relaxed) > 0 {
        blocks.each(out, 0..parts, true, f);
    } else if flops >= MIN_FLOPS_SLEEPING {
        pool.install(|| blocks.each(out, 0..parts, true, f));
    } else {
        blocks.each(out, 0..parts, false, f);
    }
}

#[derive(Clone, Copy)]
struct Blocks {
    units: usize,
    parts: usize,
    unit: usize,
}

impl Blocks {
    fn first(self, part: usize) -> usize {
        self.units * part / self.parts
    }
    fn each<T: Send>(self, out: &mut [T], parts: Range<usize>, threads: bool, f: &(impl Fn(usize, &mut [T]) + Sync)) {
        if parts.len() <= 1 {
            return f(self.first(parts.start), out);
        }
        let middle = parts.start + parts.len() / 2;
        let (low, high) = out.split_at_mut((self.first(middle) - self.first(parts.start)) * self.unit);
        let mut low = || self.each(low, parts.start..middle, threads, f);
        let mut high = || self.each(high, middle..parts.end, threads, f);
        if threads {
            rayon::join(low, high);
        } else {
            low();
            high();
        }
    }
}

thread_local! {
    static PANELS: Cell<[Vec<f32>; 3]> = const { Cell::new([const { Vec::new() }; 3]) };
}

/// Calls `f` with this thread's scratch memory, which is reused by later calls. `f` must not call [`split`]: while this
/// thread waits for the parts it may run another job, which would have to allocate new memory.
pub(super) fn with_panels<R>(f: impl FnOnce(&mut [Vec<f32>; 3]) -> R) -> R {
    PANELS.with(|cell| {
        let mut panels = cell.take();
        let result = f(&mut panels);
        cell.set(panels);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_processed_once_with_and_without_threads() {
        for flops in [0, MIN_FLOPS_SPINNING, MIN_FLOPS_SLEEPING] {
            for (units, parts) in [(0, 1), (1, 4), (7, 2), (7, 3), (64, 8), (5, 100)] {
                for in_region in [false, true] {
                    let mut out = vec![0u32; units * 3];
                    let mut work = || {
                        split(&mut out, 3, parts, flops, &|first, block| {
                            for (i, x) in block.iter_mut().enumerate() {
                                *x += (first * 3 + i) as u32 + 1;
                            }
                        });
                    };
                    if in_region {
                        region(work);
                    } else {
                        work();
                    }
                    assert!(out.iter().enumerate().all(|(i, &x)| x == i as u32 + 1), "{units} {parts} {out:?}");
                }
            }
        }
    }

    #[test]
    fn the_number_of_parts_follows_from_the_work() {
        assert_eq!(parts(0, 8), 1);
        assert_eq!(parts(MIN_FLOPS_SPINNING, 8), 2);
        assert_eq!(parts(1 << 40, 8), 8);
        assert_eq!(parts(1 << 40, 0), 1);
    }
}
