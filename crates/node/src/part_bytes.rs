//! Bytes of a file as a `Buffer` in memory of V8's own.

use std::cell::Cell;
use std::hint::black_box;
use std::ptr;
use std::sync::Once;

use agb_client::Bytes;
use napi::bindgen_prelude::{Result, ToNapiValue};
use napi::{Env, check_status, sys};

/// Bytes that were read, on their way to JavaScript.
///
/// They are copied. Of memory that is not its own V8 finds out that nobody uses it by a collection of everything only,
/// for which it waits until 64 MiB have come and which goes on while more comes: a stream took 150 to 180 MiB. Its own it
/// finds by each collection of what is young, which takes a millisecond and which it makes when 32 MiB have come. Here one
/// is [brought about](collect) earlier. The same memory is then used again and again, which costs less than fresh memory
/// without the copy did: a fifth of the client's time.
pub(crate) struct PartBytes(pub(crate) Vec<Bytes>);

/// How many bytes of parts are given between two collections. Six of the SDK's parts: one is in hand and one ahead of it at
/// most, so that no collection finds one that the collection before has found in use, which V8 would take for old and look
/// for among everything. With 8 MiB a stream takes some 40 MiB, with 16 up to 60; but a V8 that collects everything for such
/// a buffer, as that of Node 24 does, does so the more often.
const BETWEEN: usize = 12 << 20;

/// More than what V8 lets come before it collects what is young (twice the largest half of its young heap, 32 MiB), and more
/// than what glibc takes from its heap (32 MiB): such a buffer has pages of its own, and those that nobody writes do not
/// come to exist.
const ENOUGH: usize = 33 << 20;

thread_local! {
    /// Bytes that this JavaScript thread was given since the last collection.
    static GIVEN: Cell<usize> = const { Cell::new(0) };
}

impl ToNapiValue for PartBytes {
    unsafe fn to_napi_value(env: sys::napi_env, PartBytes(pieces): Self) -> Result<sys::napi_value> {
        keep_freed();
        let length: usize = pieces.iter().map(Bytes::len).sum();
        let given = GIVEN.get() + length;
        let is_due = given > BETWEEN;
        if is_due {
            collect(&Env::from_raw(env));
        }
        GIVEN.set(if is_due { length } else { given });
        let (mut data, mut buffer) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: `env` is the one of this thread, and both pointers are to locals.
        check_status!(unsafe { sys::napi_create_buffer(env, length, &raw mut data, &raw mut buffer) })?;
        let mut at = data.cast::<u8>();
        for piece in pieces {
            // SAFETY: the new buffer, which nobody else has yet, is as long as all pieces together.
            at = unsafe {
                ptr::copy_nonoverlapping(piece.as_ptr(), at, piece.len());
                at.add(piece.len())
            };
        }
        Ok(buffer)
    }
}

/// Has V8 collect what is young when it makes its next buffer: by one that nobody writes and nobody keeps, of so many bytes
/// that it is time to.
fn collect(env: &Env) {
    let made = env.run_in_scope(|| {
        let (mut data, mut buffer) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: `env` is the one of this thread, and both pointers are to locals.
        check_status!(unsafe { sys::napi_create_buffer(env.raw(), ENOUGH, &raw mut data, &raw mut buffer) })
    });
    if made.is_err() {
        // Where a process may not have so many, V8 collects when it wants to.
        let mut error = ptr::null_mut();
        // SAFETY: `env` is the one of this thread, and the pointer is to a local.
        unsafe { sys::napi_get_and_clear_last_exception(env.raw(), &raw mut error) };
    }
}

/// Has glibc keep what a collection frees for the parts that come next, once for all of the process.
///
/// It takes as much from its heap, and keeps twice as much of it when it is freed, as the largest block had that was freed
/// so far. With parts alone that is less than a collection frees, which would go back to the system and come again as
/// fresh pages: that took a third of the client's time. Other allocators take the block and free it, and nothing more.
fn keep_freed() {
    // Twice that is what a collection frees, and some parts more.
    const HALF: usize = BETWEEN / 4 * 3;
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(black_box(Vec::<u8>::with_capacity(HALF))));
}
