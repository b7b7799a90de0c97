//! A small allocator: blocks of a power of two, and a list of free ones for each size.
//!
//! The standard library's own is 5 KB, a twentieth of all that a page loads. What this one gives up is joining free
//! blocks: at most twice what is asked for is used, and what was used once for a size stays for that size. A page's
//! core holds some KiB; its largest block is the frame of a picture.

use std::alloc::{GlobalAlloc, Layout};
use std::arch::wasm32::memory_grow;
use std::cell::UnsafeCell;
use std::ptr::null_mut;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator(UnsafeCell::new(State { free: [null_mut(); CLASSES], next: 0, end: 0 }));

struct Allocator(UnsafeCell<State>);

struct State {
    /// By class: the first free block, which begins with the address of the second.
    free: [*mut u8; CLASSES],
    /// Memory that never was a block.
    next: usize,
    end: usize,
}

/// Class 0 is 16 bytes, which is also the largest alignment that anything here asks for.
const SMALLEST: usize = 16;
/// The last class is 1 GiB.
const CLASSES: usize = 27;
const PAGE: usize = 64 * 1024;

// SAFETY: WebAssembly without threads has one; nothing below calls back into an allocation.
unsafe impl Sync for Allocator {}

fn class_of(layout: Layout) -> Option<usize> {
    let class = (layout.size().max(SMALLEST) - 1).checked_ilog2()? as usize + 1 - SMALLEST.ilog2() as usize;
    (class < CLASSES && layout.align() <= SMALLEST).then_some(class)
}

// SAFETY: a block is on a free list or in use, never both: `alloc` takes it off, `dealloc` puts it back under the same
// class, for a layout's class depends on nothing but the layout. Blocks come from pages that `memory_grow` has just
// added, so they overlap nothing; their sizes are multiples of 16 and so is where the first one begins.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class_of(layout) else { return null_mut() };
        // SAFETY: there is one thread, and no other reference lives: see `Sync`.
        let state = unsafe { &mut *self.0.get() };
        let first = state.free[class];
        if !first.is_null() {
            // SAFETY: a free block begins with the address of the next one.
            state.free[class] = unsafe { first.cast::<*mut u8>().read() };
            return first;
        }
        let size = SMALLEST << class;
        if state.end - state.next < size {
            let pages = size.div_ceil(PAGE);
            let old = memory_grow::<0>(pages);
            if old == usize::MAX {
                return null_mut();
            }
            // What was left of the last pages is given up, unless the new ones follow them.
            if old * PAGE != state.end {
                state.next = old * PAGE;
            }
            state.end = (old + pages) * PAGE;
        }
        let block = state.next;
        state.next += size;
        std::ptr::with_exposed_provenance_mut(block)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(class) = class_of(layout) else { return };
        // SAFETY: there is one thread, and no other reference lives: see `Sync`.
        let state = unsafe { &mut *self.0.get() };
        // SAFETY: the block has at least 16 bytes, is aligned for an address, and nobody uses it any more.
        unsafe { block.cast::<*mut u8>().write(state.free[class]) };
        state.free[class] = block;
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps `size` within what a layout can have.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if class_of(wanted) == class_of(layout) {
            return block;
        }
        // SAFETY: as the caller promises for `realloc`.
        let moved = unsafe { self.alloc(wanted) };
        if !moved.is_null() {
            // SAFETY: both blocks are at least as long as the shorter of the two sizes, and they are not the same.
            unsafe {
                block.copy_to_nonoverlapping(moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
        }
        moved
    }
}
