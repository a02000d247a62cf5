//! A training step on the CPU allocates nothing once the first ones have sized its memory.
//!
//! The counter is the process's allocator, so this test has a binary of its own.
#![allow(unsafe_code, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use wgrad::Device;
use wgrad::train::{Config, Trainer};

struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The number of threads is read once, and the scheduler of several threads allocates: the counting is done in a process
/// that was started with one.
#[test]
fn steps_allocate_nothing() {
    if std::env::var("WGRAD_THREADS").as_deref() != Ok("1") {
        let this = std::env::current_exe().unwrap();
        let alone = Command::new(this).arg("--nocapture").env("WGRAD_THREADS", "1").output().unwrap();
        assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stderr));
        return;
    }
    for preset in ["cnn", "mlp"] {
        let config = Config::preset(preset).unwrap();
        let data = config.data.load().unwrap();
        let mut trainer = Trainer::new(&config, &data, Device::cpu()).unwrap();
        trainer.steps(3).unwrap();
        let before = CALLS.load(Ordering::Relaxed);
        trainer.steps(100).unwrap();
        let calls = CALLS.load(Ordering::Relaxed) - before;
        assert_eq!(calls, 0, "{preset}: allocations in 100 steps");
    }
}
