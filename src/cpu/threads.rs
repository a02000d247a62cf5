//! Work on several threads.
//!
//! There is one pool for the process, of as many threads as the machine has cores; the environment variable
//! `WGRAD_THREADS`, read once, sets another number, and 1 does everything on the caller's thread. Who is idle never
//! decides how work is divided, and how a sum is taken never depends on the number of threads: results are the same to the
//! last bit for any number of them.
//!
//! A launch of some microseconds is too short to wake a sleeping thread for. During a region (a run of several
//! steps) the other threads therefore stay awake and look for work. What runs beside a region has a thread of its
//! own and one of those places.

use rayon::{ThreadPool, ThreadPoolBuilder, Yield};
use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Floating-point operations, or work that takes as long, that pay for a hand-off to a thread that is awake.
const AWAKE: usize = 400_000;
/// The same where threads must be woken.
const ASLEEP: usize = 20_000_000;
/// Parts that work is divided into at most.
pub(crate) const MOST: usize = 16;
/// Failed looks for work before a waiting thread lets others have its core.
const PATIENCE: u32 = 1 << 12;

/// The pool, unless everything is to be done on one thread.
fn pool() -> Option<&'static ThreadPool> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    let make = || {
        let given = std::env::var("WGRAD_THREADS").ok().and_then(|n| n.parse().ok()).filter(|&n| n > 0);
        let threads = given.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
        // Without threads there is still the caller's.
        let build = || ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("wgrad-{i}")).build().ok();
        if threads > 1 { build() } else { None }
    };
    POOL.get_or_init(make).as_ref()
}

/// How many threads there are to work on.
pub fn count() -> usize {
    pool().map_or(1, ThreadPool::current_num_threads)
}

/// Threads of the pool that are awake and look for work.
static AWAKE_THREADS: AtomicUsize = AtomicUsize::new(0);
/// Threads at work beside the pool's.
static BESIDE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static IS_BESIDE: Cell<bool> = const { Cell::new(false) };
}

/// A place for work on a thread of its own while a region runs on another: as long as it is held, new regions keep one
/// thread fewer awake.
#[derive(Debug)]
pub(crate) struct Beside(());

impl Beside {
    pub(crate) fn new() -> Self {
        BESIDE.fetch_add(1, Ordering::AcqRel);
        Beside(())
    }

    /// Runs `f` on this thread; only launches worth waking others for are divided.
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

/// Runs `f` on a thread of the pool, and keeps the others awake meanwhile.
pub(super) fn region<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    let Some(pool) = pool().filter(|_| !IS_BESIDE.get()) else { return f() };
    let others = (pool.current_num_threads() - 1).saturating_sub(BESIDE.load(Ordering::Acquire));
    if others == 0 {
        // Nobody to share with, so no reason to wake a thread of the pool, which might share a core with the one beside.
        return f();
    }
    let active = Arc::new(AtomicBool::new(true));
    for _ in 0..others {
        let active = Arc::clone(&active);
        pool.spawn(move || wait_for_work(&active));
    }
    /// Ends the waiting, also when a kernel panics.
    struct End(Arc<AtomicBool>, usize);
    impl Drop for End {
        fn drop(&mut self) {
            self.0.store(false, Ordering::Release);
            AWAKE_THREADS.fetch_sub(self.1, Ordering::AcqRel);
        }
    }
    AWAKE_THREADS.fetch_add(others, Ordering::AcqRel);
    let _end = End(active, others);
    pool.install(f)
}

/// Does what work there is until the region ends.
fn wait_for_work(active: &AtomicBool) {
    let mut idle = 0;
    while active.load(Ordering::Acquire) {
        if matches!(rayon::yield_now(), Some(Yield::Executed)) {
            idle = 0;
            continue;
        }
        idle += 1;
        std::hint::spin_loop();
        if idle > PATIENCE {
            std::thread::yield_now();
        }
    }
}

/// How many parts work of this many floating-point operations is worth dividing into, 1 or a power of two: each has
/// at least half of `AWAKE`. Does not depend on the number of threads.
pub(super) fn parts(flops: usize, most: usize) -> usize {
    let parts = (flops / (AWAKE / 2)).clamp(1, most.max(1));
    1 << parts.ilog2()
}

/// Calls `f(first unit, units' elements)` for consecutive blocks of `out`: `parts` blocks of as equal numbers of units
/// as can be, on several threads if `flops` pay for it.
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
    let Some(pool) = pool().filter(|_| parts > 1 && flops >= AWAKE) else {
        return blocks.each(out, 0..parts, false, f);
    };
    let in_region = pool.current_thread_index().is_some();
    if in_region && AWAKE_THREADS.load(Ordering::Relaxed) > 0 {
        blocks.each(out, 0..parts, true, f);
    } else if flops >= ASLEEP {
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

/// Calls `f` with memory of this thread's own, kept for the next call. `f` must not divide its work further: the
/// memory would be missing to what this thread does while it waits.
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
    fn every_unit_is_done_once_with_and_without_threads() {
        for flops in [0, AWAKE, ASLEEP] {
            for (units, parts) in [(0, 1), (1, 4), (7, 2), (7, 3), (64, 8), (5, 100)] {
                for asleep in [false, true] {
                    let mut out = vec![0u32; units * 3];
                    let mut work = || {
                        split(&mut out, 3, parts, flops, &|first, block| {
                            for (i, x) in block.iter_mut().enumerate() {
                                *x += (first * 3 + i) as u32 + 1;
                            }
                        });
                    };
                    if asleep {
                        work();
                    } else {
                        region(work);
                    }
                    assert!(out.iter().enumerate().all(|(i, &x)| x == i as u32 + 1), "{units} {parts} {out:?}");
                }
            }
        }
    }

    #[test]
    fn work_is_divided_by_its_size() {
        assert_eq!(parts(0, 8), 1);
        assert_eq!(parts(AWAKE, 8), 2);
        assert_eq!(parts(1 << 40, 8), 8);
        assert_eq!(parts(1 << 40, 0), 1);
    }
}
